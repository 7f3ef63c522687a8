//! The table of addresses, as an attacker would write them.

use super::*;

fn policy(hosts: Option<&[&str]>, allow: Allow) -> Policy {
    let list = |names: &[&str]| {
        names
            .iter()
            .map(|name| HostPattern((*name).into()))
            .collect()
    };
    let egress = Egress {
        credential_hosts: list(&["*.files.acme.ai"]),
        hosts: hosts.map(list),
        ..Egress::default()
    };
    Policy::new(&egress, &["https://api.acme.ai/v1".parse().unwrap()], allow)
}

/// Addresses as they may be written, and whether the public's policy lets them be dialled.
#[rustfmt::skip]
const ADDRESSES: &[(&str, bool)] = &[
    ("https://93.184.216.34/",            true),
    ("https://8.8.8.8/",                  true),
    ("https://127.0.0.1/",                false),
    ("https://127.1/",                    false),
    ("https://2130706433/",               false),
    ("https://0x7f000001/",               false),
    ("https://0177.0.0.1/",               false),
    ("https://0/",                        false),
    ("https://0.0.0.0/",                  false),
    ("https://0300.0250.1/",              false),
    ("https://0x7f.1/",                   false),
    ("https://127.0.0.1./",               false),
    ("https://%31%32%37.0.0.1/",          false),
    ("https://１２７。０．0.1/",            false),
    ("https://①②⑦.0.0.1/",              false),
    ("https://10.1.2.3/",                 false),
    ("https://172.15.255.255/",           true),
    ("https://172.16.0.1/",               false),
    ("https://172.31.255.255/",           false),
    ("https://172.32.0.1/",               true),
    ("https://192.168.0.1/",              false),
    ("https://169.254.169.254/",          false),
    ("https://169.254.0.1/",              false),
    ("https://168.63.129.16/",            false),
    ("https://168.63.129.17/",            true),
    ("https://100.63.255.255/",           true),
    ("https://100.64.0.1/",               false),
    ("https://100.100.100.200/",          false),
    ("https://100.127.255.255/",          false),
    ("https://100.128.0.1/",              true),
    ("https://192.0.0.192/",              false),
    ("https://192.0.2.1/",                false),
    ("https://192.88.99.1/",              false),
    ("https://198.17.255.255/",           true),
    ("https://198.19.255.255/",           false),
    ("https://198.51.100.1/",             false),
    ("https://203.0.113.1/",              false),
    ("https://198.18.0.1/",               false),
    ("https://223.255.255.255/",          true),
    ("https://224.0.0.1/",                false),
    ("https://240.0.0.1/",                false),
    ("https://255.255.255.255/",          false),
    ("https://[::1]/",                    false),
    ("https://[::]/",                     false),
    ("https://[::ffff:127.0.0.1]/",       false),
    ("https://[::ffff:8.8.8.8]/",         true),
    ("https://[::127.0.0.1]/",            false),
    ("https://[::ffff:a9fe:a9fe]/",       false),
    ("https://[0:0:0:0:0:ffff:7f00:1]/",  false),
    ("https://[::8.8.8.8]/",              false),
    ("https://[::ffff:0:8.8.8.8]/",       false),
    ("https://[64:ff9b::10.0.0.1]/",      false),
    ("https://[64:ff9b::a9fe:a9fe]/",     false),
    ("https://[64:ff9b:1::8.8.8.8]/",     false),
    ("https://[64:ff9b::8.8.8.8]/",       true),
    ("https://[2002:7f00:1::]/",          false),
    ("https://[2002:a9fe:a9fe::]/",       false),
    ("https://[2002:808:808::1]/",        true),
    ("https://[2001::1]/",                false),
    ("https://[2001:0:808:808::1]/",      false),
    ("https://[2001:20::1]/",             false),
    ("https://[2001:200::1]/",            true),
    ("https://[2606:4700::5efe:a00:1]/",  false),
    ("https://[2606:4700::200:5efe:7f00:1]/", false),
    ("https://[2606:4700::5efe:808:808]/", true),
    ("https://[3fff::1]/",                false),
    ("https://[100::1]/",                 false),
    ("https://[5f00::1]/",                false),
    ("https://[fec0::1]/",                false),
    ("https://[fd00:ec2::254]/",          false),
    ("https://[fd20:ce::254]/",           false),
    ("https://[2001:db8::1]/",            false),
    ("https://[fe80::1]/",                false),
    ("https://[fc00::1]/",                false),
    ("https://[fd12:3456::1]/",           false),
    ("https://[ff02::1]/",                false),
    ("https://[2606:4700::1111]/",        true),
];

#[test]
fn only_public_addresses_are_dialled_however_they_are_written() {
    for (address, want) in ADDRESSES {
        let url: Url = address.parse().unwrap();
        let got = policy(None, Allow::default()).check(&url, Author::Answer);
        assert_eq!(got.is_ok(), *want, "{address}: {got:?}");
        let url = url.as_str().replace("https", "http").parse().unwrap();
        let operator = Allow {
            http: true,
            private: true,
        };
        assert!(
            policy(None, operator).check(&url, Author::Answer).is_ok(),
            "{address} with the operator's word"
        );
    }
}

#[test]
#[rustfmt::skip]
fn an_address_lies_where_its_author_may_point() {
    let cases = [
        // address                           hosts                 row    answer
        ("https://api.acme.ai/v1/x",         None,                 true,  true),
        ("https://api.acme.ai:8443/v1/x",    None,                 false, true),
        ("https://cdn.acme.ai/x",            None,                 false, true),
        ("https://cdn.acme.ai/x",            Some("cdn.acme.ai"),  true,  true),
        ("https://CDN.acme.ai./x",           Some("cdn.acme.ai"),  true,  true),
        ("https://other.example/x",          Some("cdn.acme.ai"),  false, false),
        ("https://a.b.cdn.acme.ai/x",        Some("*.acme.ai"),    true,  true),
        ("https://evilacme.ai/x",            Some("*.acme.ai"),    false, false),
        ("https://acme.ai/x",                Some("*.acme.ai"),    false, false),
        ("http://api.acme.ai/v1/x",          None,                 false, false),
        ("ftp://api.acme.ai/v1/x",           None,                 false, false),
        ("https://user:pw@api.acme.ai/v1",   None,                 false, false),
    ];
    for (address, hosts, row, answer) in cases {
        let url: Url = address.parse().unwrap();
        let list = hosts.map(|host| vec![host]);
        let policy = policy(list.as_deref(), Allow::default());
        assert_eq!(policy.check(&url, Author::Row).is_ok(), row, "{address} from a row, {hosts:?}");
        assert_eq!(policy.check(&url, Author::Answer).is_ok(), answer, "{address} from an answer, {hosts:?}");
    }
}

#[test]
#[rustfmt::skip]
fn credentials_go_to_the_origins_of_the_base_urls_and_to_credential_hosts_alone() {
    let cases = [
        ("https://api.acme.ai/other",         true),
        ("https://eu.files.acme.ai/x",        true),
        ("https://files.acme.ai/x",           false),
        ("http://eu.files.acme.ai/x",         false),
        ("http://api.acme.ai/v1",             false),
        ("https://api.acme.ai:444/v1",        false),
        ("https://api.acme.ai.evil.example/", false),
    ];
    for (address, want) in cases {
        let url = address.parse().unwrap();
        assert_eq!(policy(None, Allow::default()).may_have_credentials(&url), want, "{address}");
    }
}

/// Nothing of it reaches a connection: the address itself is none.
#[test]
fn an_address_that_cannot_be_read_in_one_way_is_none() {
    for address in [
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://256.256.256.256/",
        "https://1.2.3.4.5/",
        "https://0x/0/x",
        "https://acme.ai%00.evil.example/",
        "https://ac me.ai/",
        "https://",
        "//169.254.169.254/",
        "acme.ai",
        "",
    ] {
        let got = Policy::given(address, Allow::default());
        assert!(got.is_err(), "{address}: {got:?}");
    }
}

#[test]
#[rustfmt::skip]
fn a_callers_address_leads_to_the_public_over_tls_and_never_has_credentials() {
    let cases = [
        ("https://files.example/a.png",                     true),
        ("https://files.example:8443/a.png",                true),
        ("https://bücher.example/a.png",                    true),
        ("HTTPS://FILES.EXAMPLE./a.png",                    true),
        ("http://files.example/a.png",                      false),
        ("https://user@files.example/",                     false),
        ("https://:pw@files.example/",                      false),
        ("https://files.example@169.254.169.254/",          false),
        ("https:169.254.169.254/latest",                    false),
        ("https:\\\\127.0.0.1\\a",                          false),
        ("https://[::ffff:10.0.0.1]:443/",                  false),
        ("file:///etc/passwd",                              false),
        ("data:text/plain,a",                               false),
        ("gopher://files.example/",                         false),
        ("javascript:alert(1)",                             false),
    ];
    for (address, want) in cases {
        match Policy::given(address, Allow::default()) {
            Ok((url, policy)) => {
                assert!(want, "{address} was taken as {url}");
                assert!(!policy.may_have_credentials(&url), "{address}");
            }
            Err(fault) => assert!(!want, "{address}: {}", fault.message),
        }
    }
    let long = format!("https://files.example/{}", "a".repeat(GIVEN_MAX));
    assert!(Policy::given(&long, Allow::default()).is_err());
}

#[test]
fn a_refusal_names_the_host_and_nothing_else_of_an_address() {
    for address in [
        "http://files.example/a?signature=hidden",
        "https://user:hidden@files.example/",
        "https://127.0.0.1/hidden",
        "hidden",
    ] {
        let fault = Policy::given(address, Allow::default()).unwrap_err();
        assert!(!fault.message.contains("hidden"), "{}", fault.message);
    }
}

proptest::proptest! {
    /// Whatever prefix carries it, a private address stays private.
    #[test]
    fn what_is_embedded_in_an_ipv6_address_is_judged_by_itself(bits: u32) {
        let v4 = Ipv4Addr::from(bits);
        let public = is_public_v4(v4);
        for carried in [
            v4.to_ipv6_mapped(),
            Ipv6Addr::from((0x64_ff9b_u128 << 96) | u128::from(bits)),
            Ipv6Addr::from((0x2002_u128 << 112) | (u128::from(bits) << 80) | 1),
        ] {
            proptest::prop_assert_eq!(is_public_v6(carried), public, "{}", carried);
        }
        proptest::prop_assert!(!is_public_v6(v4.to_ipv6_compatible()));
    }

    /// `url` and the dialler read one address: no spelling slips past as a name.
    #[test]
    fn no_host_that_reads_as_a_number_is_taken_for_a_name(
        host in "(0x)?[0-9a-f]{1,9}(\\.(0x|0)?[0-9a-f]{1,4}){0,4}\\.?",
    ) {
        if let Ok(url) = Url::parse(&format!("https://{host}/"))
            && let Some(Host::Domain(name)) = url.host()
        {
            let name = name.trim_end_matches('.');
            proptest::prop_assert!(name.parse::<IpAddr>().is_err(), "{}", host);
            let last = name.rsplit('.').next().unwrap_or_default();
            proptest::prop_assert!(!last.bytes().all(|b| b.is_ascii_digit()), "{}", host);
        }
    }
}
