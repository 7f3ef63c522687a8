//! `wrap: "wav"`: a RIFF header before raw PCM.
//!
//! The 44 bytes are those of the "Multimedia Programming Interface and Data
//! Specifications 1.0" (IBM and Microsoft, 1991), WAVE form, format 1. Rate,
//! channels and bits come from the media type (`audio/L16;rate=24000`, RFC 2586).
//! That RFC puts the high byte first; providers that say so send the low byte
//! first all the same, and so the samples stay as they came.

use super::content::{accepts, essence};
use crate::fault::{Fault, Kind};
use crate::flow::FileTask;
use bytes::{BufMut as _, Bytes, BytesMut};
use profile::revision::Wrap;

/// Bytes of an answer that are collected before a header can be written: its length stands there.
pub(super) const RAW_MAX: u64 = 256 * 1024 * 1024;
/// The type of what is made.
pub(super) const WAV: &str = "audio/wav";
const HEADER: u32 = 44;

/// What raw samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pcm {
    rate: u32,
    channels: u16,
    bits: u16,
}

/// The file in its wrapping, and its media type; `None`: the task asks for none, or it has one already.
///
/// # Errors
///
/// [`Fault`] when nothing says what the samples are, or the profile does not accept the result.
pub(crate) fn wrapped(
    task: &FileTask,
    header: Option<&str>,
    raw: &Bytes,
) -> Result<Option<(Bytes, String)>, Fault> {
    let Some(Wrap::Wav) = task.wrap else {
        return Ok(None);
    };
    if raw.starts_with(b"RIFF") && raw.get(8..12) == Some(b"WAVE") {
        return Ok(None);
    }
    let said = [task.mime.as_deref(), header, task.content_type.as_deref()];
    let mut said = said.into_iter().flatten();
    let pcm = said.find_map(pcm_of).ok_or_else(|| {
        Fault::new(
            Kind::BadFile,
            "nothing says the rate of the samples: a media type such as `audio/L16;rate=24000` is needed",
        )
    })?;
    if !accepts(task, WAV) {
        return Err(Fault::new(
            Kind::WrongContent,
            format!("the profile does not accept `{WAV}`"),
        ));
    }
    Ok(Some((framed(pcm, raw)?, WAV.to_owned())))
}

/// Rate, channels and bits of a media type; `None`: it is not one of raw samples, or has no rate.
fn pcm_of(media_type: &str) -> Option<Pcm> {
    let kind = essence(media_type);
    let subtype = kind.strip_prefix("audio/")?;
    let named = match subtype {
        "pcm" | "x-pcm" | "raw" | "x-raw" | "wav" | "l" => None,
        _ => Some(subtype.strip_prefix('l')?.parse::<u16>().ok()?),
    };
    let number = |names: &[&str]| {
        let mut parameters = media_type.split(';').skip(1);
        parameters.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let name = name.trim().to_ascii_lowercase();
            let value = value.trim().trim_matches('"');
            names
                .contains(&name.as_str())
                .then(|| value.parse::<u32>().ok())?
        })
    };
    let small = |names: &[&str]| number(names).and_then(|number| u16::try_from(number).ok());
    let pcm = Pcm {
        rate: number(&["rate", "sample_rate", "samplerate"])?,
        channels: small(&["channels", "channel"]).unwrap_or(1),
        bits: named
            .or_else(|| small(&["bits", "bit_depth", "bitdepth"]))
            .unwrap_or(16),
    };
    let plausible = (1..=768_000).contains(&pcm.rate)
        && (1..=64).contains(&pcm.channels)
        && matches!(pcm.bits, 8 | 16 | 24 | 32);
    plausible.then_some(pcm)
}

fn framed(pcm: Pcm, raw: &Bytes) -> Result<Bytes, Fault> {
    let odd = raw.len() % 2;
    let whole = u32::try_from(raw.len() + odd).ok();
    let riff = whole.and_then(|whole| whole.checked_add(HEADER - 8));
    let (Some(riff), Ok(data)) = (riff, u32::try_from(raw.len())) else {
        return Err(Fault::new(
            Kind::FileTooLarge,
            "a WAV file holds at most 4 GiB",
        ));
    };
    let frame = pcm.channels * (pcm.bits / 8);
    let mut wav = BytesMut::with_capacity(raw.len() + odd + HEADER as usize);
    wav.put_slice(b"RIFF");
    wav.put_u32_le(riff);
    wav.put_slice(b"WAVEfmt ");
    wav.put_u32_le(16);
    wav.put_u16_le(1);
    wav.put_u16_le(pcm.channels);
    wav.put_u32_le(pcm.rate);
    wav.put_u32_le(pcm.rate.saturating_mul(u32::from(frame)));
    wav.put_u16_le(frame);
    wav.put_u16_le(pcm.bits);
    wav.put_slice(b"data");
    wav.put_u32_le(data);
    wav.put_slice(raw);
    // Chunks begin at even offsets.
    wav.put_bytes(0, odd);
    Ok(wav.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::FileSource;

    fn task(mime: Option<&str>, content_type: Option<&str>, accept: &str) -> FileTask {
        FileTask {
            artifact: "audio".into(),
            idx: 0,
            source: FileSource::Bytes(Bytes::new()),
            accept: vec![accept.into()],
            max_bytes: 1 << 20,
            mime: mime.map(str::to_owned),
            content_type: content_type.map(str::to_owned),
            filename: None,
            wants_data_url: false,
            expires_at_ms: None,
            wrap: Some(Wrap::Wav),
            ok_status: Vec::new(),
        }
    }

    #[test]
    #[rustfmt::skip]
    fn what_raw_samples_are_is_read_from_their_media_type() {
        let pcm = |rate, channels, bits| Some(Pcm { rate, channels, bits });
        let cases = [
            ("audio/L16;codec=pcm;rate=24000",        pcm(24_000, 1, 16)),
            ("audio/L16; rate=44100; channels=2",     pcm(44_100, 2, 16)),
            ("audio/L24;rate=48000",                  pcm(48_000, 1, 24)),
            ("Audio/PCM; Rate=\"16000\"; bits=8",     pcm(16_000, 1, 8)),
            ("audio/x-pcm;rate=8000;bit_depth=32",    pcm(8_000, 1, 32)),
            ("audio/L16",                             None),
            ("audio/L16;rate=0",                      None),
            ("audio/L17;rate=24000",                  None),
            ("audio/L16;rate=24000;channels=65",      None),
            ("audio/mpeg;rate=24000",                 None),
            ("video/L16;rate=24000",                  None),
        ];
        for (media_type, want) in cases {
            assert_eq!(pcm_of(media_type), want, "{media_type}");
        }
    }

    #[test]
    fn raw_samples_get_the_header_of_their_media_type() {
        let raw = Bytes::from_static(&[1, 0, 2, 0, 3, 0, 4, 0]);
        let task = task(Some("audio/L16;codec=pcm;rate=24000"), None, "audio/*");
        let (wav, content_type) = wrapped(&task, None, &raw).unwrap().unwrap();
        assert_eq!(content_type, "audio/wav");
        let want = [
            b"RIFF".as_slice(),
            &44_u32.to_le_bytes(),
            b"WAVEfmt ",
            &16_u32.to_le_bytes(),
            &1_u16.to_le_bytes(),
            &1_u16.to_le_bytes(),
            &24_000_u32.to_le_bytes(),
            &48_000_u32.to_le_bytes(),
            &2_u16.to_le_bytes(),
            &16_u16.to_le_bytes(),
            b"data",
            &8_u32.to_le_bytes(),
            &raw,
        ];
        assert_eq!(wav, want.concat());
    }

    #[test]
    fn an_odd_number_of_bytes_is_padded_and_not_counted() {
        let task = task(None, Some("audio/pcm;rate=8000;bits=8"), "audio/*");
        let (wav, _) = wrapped(&task, None, &Bytes::from_static(&[7]))
            .unwrap()
            .unwrap();
        assert_eq!(wav.len(), 46);
        assert_eq!(wav.get(4..8), Some(&38_u32.to_le_bytes()[..]));
        assert_eq!(wav.get(40..), Some(&[1, 0, 0, 0, 7, 0][..]));
    }

    #[test]
    fn a_wav_file_is_not_wrapped_twice() {
        let there = Bytes::from_static(b"RIFF\x24\0\0\0WAVEfmt ");
        let found = wrapped(&task(Some("audio/wav"), None, "audio/*"), None, &there);
        assert_eq!(found.unwrap(), None);
    }

    #[test]
    fn samples_of_which_nobody_says_the_rate_are_no_file() {
        let raw = Bytes::from_static(&[1, 0]);
        let cases = [
            (task(Some("audio/L16"), None, "audio/*"), Kind::BadFile),
            (
                task(Some("audio/L16;rate=24000"), None, "audio/mpeg"),
                Kind::WrongContent,
            ),
        ];
        for (task, want) in cases {
            assert_eq!(wrapped(&task, None, &raw).unwrap_err().kind, want);
        }
    }
}
