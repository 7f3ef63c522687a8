//! The bytes of videos, thumbnails and sprite sheets.

use std::sync::OnceLock;

use bytes::{BufMut, Bytes, BytesMut};

/// A playable clip of four seconds, 320x180.
pub const CLIP: &[u8] = include_bytes!("../assets/clip.mp4");
/// The first frame of the clip (WebP).
pub const THUMBNAIL: &[u8] = include_bytes!("../assets/thumbnail.webp");
/// Eight frames of the clip (JPEG).
pub const SPRITESHEET: &[u8] = include_bytes!("../assets/spritesheet.jpg");

const CHUNK: usize = 128 * 1024;
const BLOCK: usize = 1024 * 1024 + CHUNK;

/// A video of exactly `len` bytes, always the same for one length: the clip, then a filler box that players skip.
/// Shorter than the clip, it is the filler alone and does not play.
///
/// The chunks share one block of memory, so that a large video costs the simulator next to nothing.
pub fn generated(len: u64) -> impl Iterator<Item = Bytes> + Send {
    let start = head(len);
    let mut left = len - start.len() as u64;
    let filler = (0_usize..).map_while(move |number| {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
        left -= size as u64;
        // Neighbouring chunks differ: a lost or repeated one changes the digest.
        let from = number.wrapping_mul(4099) % (BLOCK - CHUNK);
        (size > 0).then(|| block().slice(from..from + size))
    });
    std::iter::once(start)
        .filter(|start| !start.is_empty())
        .chain(filler)
}

fn head(len: u64) -> Bytes {
    let Some(filler) = len
        .checked_sub(CLIP.len() as u64)
        .filter(|filler| *filler >= 8)
    else {
        return Bytes::new();
    };
    let mut head = BytesMut::from(CLIP);
    // A box size of 0 means "to the end of the file" (ISO 14496-12, section 4.2).
    head.put_u32(u32::try_from(filler).unwrap_or(0));
    head.put_slice(b"free");
    head.freeze()
}

fn block() -> &'static Bytes {
    static FILLER: OnceLock<Bytes> = OnceLock::new();
    FILLER.get_or_init(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut block = BytesMut::with_capacity(BLOCK + 8);
        while block.len() < BLOCK {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.put_u64(state);
        }
        block.truncate(BLOCK);
        block.freeze()
    })
}

/// The clip with its `number` in a box that players skip: as playable as the clip, and never the same twice.
pub(crate) fn numbered(number: u64) -> Bytes {
    let mut clip = BytesMut::from(CLIP);
    clip.put_u32(16);
    clip.put_slice(b"free");
    clip.put_u64(number);
    clip.freeze()
}

/// A JSON object of `len` bytes (at least 14), in chunks.
pub(crate) fn padded_json(len: u64) -> impl Iterator<Item = Bytes> + Send {
    const OPEN: &[u8] = br#"{"padding":""#;
    const CLOSE: &[u8] = br#""}"#;
    let spaces = Bytes::from(vec![b' '; CHUNK]);
    let mut left = len.saturating_sub((OPEN.len() + CLOSE.len()) as u64);
    let padding = std::iter::from_fn(move || {
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
        left -= size as u64;
        (size > 0).then(|| spaces.slice(..size))
    });
    std::iter::once(Bytes::from_static(OPEN))
        .chain(padding)
        .chain(std::iter::once(Bytes::from_static(CLOSE)))
}

/// The width and height in the head of a PNG, JPEG or WebP image; `None` when it is none of these.
pub(crate) fn dimensions(image: &[u8]) -> Option<(u32, u32)> {
    png(image).or_else(|| jpeg(image)).or_else(|| webp(image))
}

fn png(image: &[u8]) -> Option<(u32, u32)> {
    let header = image.strip_prefix(b"\x89PNG\r\n\x1a\n")?.get(8..16)?;
    let (width, height) = header.split_first_chunk::<4>()?;
    Some((
        u32::from_be_bytes(*width),
        u32::from_be_bytes(height.try_into().ok()?),
    ))
}

fn jpeg(image: &[u8]) -> Option<(u32, u32)> {
    let mut rest = image.strip_prefix(b"\xff\xd8")?;
    loop {
        let (head, _) = rest.split_first_chunk::<4>()?;
        let [0xff, marker, high, low] = *head else {
            return None;
        };
        // Start-of-frame markers, without the tables that share their range.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let frame: [u8; 4] = rest.get(5..9)?.try_into().ok()?;
            let [h1, h0, w1, w0] = frame;
            return Some((
                u16::from_be_bytes([w1, w0]).into(),
                u16::from_be_bytes([h1, h0]).into(),
            ));
        }
        rest = rest.get(2 + usize::from(u16::from_be_bytes([high, low]))..)?;
    }
}

fn webp(image: &[u8]) -> Option<(u32, u32)> {
    let chunk = image
        .strip_prefix(b"RIFF")?
        .get(4..)?
        .strip_prefix(b"WEBP")?;
    let le = |at: usize| {
        Some(u32::from(u16::from_le_bytes(
            chunk.get(at..at + 2)?.try_into().ok()?,
        )))
    };
    match chunk.get(..4)? {
        b"VP8 " => Some((le(14)? & 0x3fff, le(16)? & 0x3fff)),
        b"VP8X" => Some((
            (le(12)? | u32::from(*chunk.get(14)?) << 16) + 1,
            (le(15)? | u32::from(*chunk.get(17)?) << 16) + 1,
        )),
        b"VP8L" => {
            let bits = u32::from_le_bytes(chunk.get(9..13)?.try_into().ok()?);
            Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_video_has_exactly_the_bytes_asked_for() {
        for len in [
            0,
            1,
            100,
            CLIP.len() as u64 + 7,
            CLIP.len() as u64 + 8,
            1_000_003,
        ] {
            let total: u64 = generated(len).map(|chunk| chunk.len() as u64).sum();
            assert_eq!(total, len);
        }
    }

    #[test]
    fn a_padded_document_is_json_of_the_length_asked_for() {
        let text: Vec<u8> = padded_json(300_000).flatten().collect();
        assert_eq!(text.len(), 300_000);
        serde_json::from_slice::<serde_json::Value>(&text).unwrap();
    }

    #[test]
    fn the_size_of_an_image_is_read_from_its_head() {
        assert_eq!(dimensions(THUMBNAIL), Some((320, 180)));
        assert_eq!(dimensions(SPRITESHEET), Some((640, 180)));
        assert_eq!(dimensions(&crate::tests::png(1280, 720)), Some((1280, 720)));
        assert_eq!(dimensions(b"<html>"), None);
        assert_eq!(dimensions(b""), None);
    }
}
