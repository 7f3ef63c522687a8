//! The worked examples of the schemes' own documents, and what a signature covers.

use super::*;
use crate::http::tests::request;

fn signer(scheme: Scheme, region: Option<&str>, service: &str, pair: (&str, &str)) -> Signer {
    let how = Signing {
        scheme,
        region: region.map(str::to_owned),
        service: service.to_owned(),
    };
    let part = |name: &str, text: &str| (name.to_owned(), Secret::from(text.to_owned()));
    Signer::new(
        &how,
        &[part("access_key", pair.0), part("secret_key", pair.1)],
    )
    .unwrap()
}

fn message(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let mut message = request(method, url);
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    message.headers = headers.iter().map(owned).collect();
    message.body = (!body.is_empty()).then(|| body.to_owned().into());
    message
}

fn authorization(signer: &Signer, request: &Request, at_ms: i64) -> String {
    let added = signer.headers(request, at_ms).unwrap();
    let (_, value) = added
        .into_iter()
        .find(|(name, _)| name == "Authorization")
        .unwrap();
    value
}

fn at(text: &str) -> i64 {
    let at = OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap();
    at.unix_timestamp() * 1_000
}

/// The test suite that AWS published for Signature Version 4 (`aws-sig-v4-test-suite`).
#[test]
#[rustfmt::skip]
fn the_published_vectors_of_version_4_are_signed_as_published() {
    let pair = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    let signer = signer(Scheme::AwsSigV4, Some("us-east-1"), "service", pair);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let cases = [
        ("get-vanilla", "GET", "/", &[][..], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", &[][..], "", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
        ("post-vanilla", "POST", "/", &[][..], "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("post-vanilla-query", "POST", "/?Param1=value1", &[][..], "", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
        ("post-x-www-form-urlencoded", "POST", "/", &form[..], "Param1=value1", "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
    ];
    for (name, method, path, headers, body, want) in cases {
        let message = message(method, &format!("https://example.amazonaws.com{path}"), headers, body);
        let got = authorization(&signer, &message, at("2015-08-30T12:36:00Z"));
        let start = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=";
        assert!(got.starts_with(start), "{name}: {got}");
        assert!(got.ends_with(&format!("Signature={want}")), "{name}: {got}");
    }
}

/// "Example: GET object", from the reference of the object store's API.
#[test]
fn the_worked_example_of_the_object_store_is_signed_as_documented() {
    let pair = (
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    );
    let signer = signer(Scheme::AwsSigV4, Some("us-east-1"), "s3", pair);
    let url = "https://examplebucket.s3.amazonaws.com/test.txt";
    let got = authorization(
        &signer,
        &message("GET", url, &[("Range", "bytes=0-9")], ""),
        at("2013-05-24T00:00:00Z"),
    );
    assert_eq!(
        got,
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
         SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
         Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    );
}

/// The worked example of the scheme's document: `DescribeInstances`, whose published key is 32 asterisks.
#[test]
fn the_worked_example_of_tc3_is_signed_as_documented() {
    let (id, key) = (
        "AKID********************************",
        "********************************",
    );
    let signer = signer(Scheme::Tc3HmacSha256, None, "cvm", (id, key));
    let body =
        r#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#;
    let headers = [
        ("Content-Type", "application/json; charset=utf-8"),
        ("X-TC-Action", "DescribeInstances"),
        ("X-TC-Version", "2017-03-12"),
        ("X-TC-Region", "ap-guangzhou"),
    ];
    let message = message("POST", "https://cvm.example.com/", &headers, body);
    let payload = hex::encode(Sha256::digest(body));
    assert_eq!(
        payload,
        "35e9c5b0e3ae67532d3c9f17ead6c90222632e5b1ff7f6e89887f1398934f064"
    );
    let mut canonical = signer.canonical(&message, &[], &payload);
    let host = canonical
        .headers
        .iter_mut()
        .find(|(name, _)| name == "host")
        .unwrap();
    host.1 = ["cvm.ten", "centcloudapi.com"].concat();
    let hash = hex::encode(Sha256::digest(canonical.text()));
    assert_eq!(
        hash,
        "7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84"
    );
    let moment = signer.moment(1_551_113_065_000).unwrap();
    let signature = signer.signature(&canonical.text(), &moment);
    assert_eq!(
        signature,
        "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f"
    );
    let got = authorization(&signer, &message, 1_551_113_065_000);
    let start = format!(
        "TC3-HMAC-SHA256 Credential={id}/2019-02-25/cvm/tc3_request, SignedHeaders=content-type;host;x-tc-action, Signature="
    );
    assert!(got.starts_with(&start), "{got}");
}

#[test]
#[rustfmt::skip]
fn every_byte_that_is_sent_is_signed() {
    let json = ("Content-Type", "application/json");
    for scheme in [Scheme::AwsSigV4, Scheme::VolcHmacSha256, Scheme::Tc3HmacSha256] {
        let one = signer(scheme, Some("r"), "svc", ("id", "key"));
        let sign = |method: &str, url: &str, body: &str, at_ms| {
            authorization(&one, &message(method, url, &[json], body), at_ms)
        };
        let base = sign("POST", "https://a.example/?Action=x", "{}", 0);
        let others = [
            ("method", sign("PUT",  "https://a.example/?Action=x", "{}",  0)),
            ("host",   sign("POST", "https://b.example/?Action=x", "{}",  0)),
            ("port",   sign("POST", "https://a.example:8443/?Action=x", "{}", 0)),
            ("query",  sign("POST", "https://a.example/?Action=y", "{}",  0)),
            ("body",   sign("POST", "https://a.example/?Action=x", "{ }", 0)),
            ("time",   sign("POST", "https://a.example/?Action=x", "{}",  1_000)),
        ];
        for (what, other) in others {
            assert_ne!(base, other, "{scheme:?} does not sign the {what}");
        }
        let wrong = signer(scheme, Some("r"), "svc", ("id", "other"));
        let wrong = authorization(&wrong, &message("POST", "https://a.example/?Action=x", &[json], "{}"), 0);
        assert_ne!(base, wrong, "{scheme:?} signs the same with another key");
    }
}

#[test]
#[rustfmt::skip]
fn a_path_is_written_as_the_service_reads_it() {
    let cases = [
        // An encoded segment is encoded again, but for the object store.
        (Scheme::AwsSigV4,       "svc", "https://a.example/job/arn%3Aaws%2Fx", "/job/arn%253Aaws%252Fx"),
        (Scheme::AwsSigV4,       "s3",  "https://a.example/a%20b/c",           "/a%20b/c"),
        (Scheme::VolcHmacSha256, "svc", "https://a.example/",                  "/"),
        (Scheme::Tc3HmacSha256,  "svc", "https://a.example/",                  "/"),
    ];
    for (scheme, service, url, want) in cases {
        let signer = signer(scheme, Some("r"), service, ("id", "key"));
        assert_eq!(signer.canonical(&message("GET", url, &[], ""), &[], "").path, want, "{url}");
    }
    assert_eq!(canonical_query("b=2&a=%7e+x&a=1&c"), "a=1&a=~%2Bx&b=2&c=");
}

#[test]
fn a_session_token_goes_along_and_is_signed() {
    let how = Signing {
        scheme: Scheme::AwsSigV4,
        region: Some("r".into()),
        service: "s3".into(),
    };
    let part = |name: &str, text: &str| (name.to_owned(), Secret::from(text.to_owned()));
    let parts = [
        part("access_key", "id"),
        part("secret_key", "key"),
        part("session_token", "sess"),
    ];
    let signer = Signer::new(&how, &parts).unwrap();
    let added = signer
        .headers(&message("GET", "https://a.example/", &[], ""), 0)
        .unwrap();
    assert!(added.contains(&("X-Amz-Security-Token".to_owned(), "sess".to_owned())));
    let (_, authorization) = added.last().unwrap();
    assert!(
        authorization.contains("x-amz-security-token"),
        "{authorization}"
    );
    assert!(!format!("{signer:?}").contains("key\""), "{signer:?}");
    assert!(Signer::new(&how, &parts[..1]).is_err());
}
