//! Segments of a transcription as subtitles: SubRip and WebVTT.

use serde_json::Value;

/// A text, and when it is heard: milliseconds from the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cue {
    from_ms: u64,
    to_ms: u64,
    text: String,
}

/// `[{start, end, text}]`, in seconds; `None`: it is something else, or there is no segment.
pub(super) fn cues(segments: Option<&Value>) -> Option<Vec<Cue>> {
    let cues: Option<Vec<Cue>> = segments?.as_array()?.iter().map(cue).collect();
    cues.filter(|cues| !cues.is_empty())
}

fn cue(segment: &Value) -> Option<Cue> {
    Some(Cue {
        from_ms: ms(segment.get("start")?)?,
        to_ms: ms(segment.get("end")?)?,
        text: segment.get("text")?.as_str()?.to_owned(),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded to a year of milliseconds"
)]
fn ms(seconds: &Value) -> Option<u64> {
    let seconds = seconds.as_f64().filter(|seconds| seconds.is_finite())?;
    Some((seconds.clamp(0.0, 31_536_000.0) * 1000.0).round() as u64)
}

/// SubRip: cues numbered from 1, times with a comma.
pub(super) fn srt(cues: &[Cue]) -> String {
    let mut out = String::new();
    for (number, cue) in (1_usize..).zip(cues) {
        let (from, to) = (time(cue.from_ms, ','), time(cue.to_ms, ','));
        out.push_str(&format!(
            "{number}\n{from} --> {to}\n{}\n\n",
            lines(&cue.text)
        ));
    }
    out
}

/// WebVTT, <https://www.w3.org/TR/webvtt1/>.
pub(super) fn vtt(cues: &[Cue]) -> String {
    let mut out = "WEBVTT\n\n".to_owned();
    for cue in cues {
        let text = lines(&cue.text);
        let text = text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let (from, to) = (time(cue.from_ms, '.'), time(cue.to_ms, '.'));
        out.push_str(&format!("{from} --> {to}\n{text}\n\n"));
    }
    out
}

/// Without blank lines, which would end the cue.
fn lines(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

fn time(ms: u64, point: char) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn segments_are_cues_of_both_forms() {
        let segments = json!([
            {"id": 0, "start": 0, "end": 1.5, "text": " Hello & welcome.\n\nAll."}, {"start": 3661.0006, "end": 3662.25, "text": "a --> b"},
        ]);
        let cues = cues(Some(&segments)).unwrap();
        let srt_wanted = "1\n00:00:00,000 --> 00:00:01,500\nHello & welcome.\nAll.\n\n2\n01:01:01,001 --> 01:01:02,250\na --> b\n\n";
        assert_eq!(srt(&cues), srt_wanted);
        let vtt_wanted = "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello &amp; welcome.\nAll.\n\n01:01:01.001 --> 01:01:02.250\na --&gt; b\n\n";
        assert_eq!(vtt(&cues), vtt_wanted);
    }

    #[test]
    #[rustfmt::skip]
    fn what_are_no_segments_makes_no_subtitles() {
        for other in [json!(null), json!([]), json!("x"), json!([{"start": 0, "text": "x"}]), json!([{"start": "0", "end": 1, "text": "x"}])] {
            assert_eq!(cues(Some(&other)), None, "{other}");
        }
        assert_eq!(cues(None), None);
    }
}
