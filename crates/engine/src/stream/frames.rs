//! From bytes to the frames of a stream, however the bytes are cut.
//!
//! `text/event-stream` is read as the WHATWG HTML standard says (section 9.2.6),
//! with two liberties that providers make necessary: a frame with a name and no
//! data counts, and so does a last frame without its blank line. Lines of JSON
//! are read as <https://jsonlines.org>. Invalid UTF-8 is replaced.

use profile::revision::Mode;

/// Bytes of one frame, its line breaks included.
pub(super) const FRAME_MAX: usize = 1024 * 1024;
/// Frames of one stream.
pub(super) const FRAMES_MAX: u32 = 500_000;

/// What one event carries, as text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// Absent when it has no name.
    pub(super) name: Option<String>,
    /// Its data lines, with a line break between.
    pub(super) data: String,
}

/// A bound of the stream that it does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Excess {
    #[error("an event of the stream is more than {FRAME_MAX} bytes")]
    Frame,
    #[error("the stream has more than {FRAMES_MAX} events")]
    Frames,
}

/// Cuts bytes into frames.
#[derive(Debug)]
pub(super) struct Frames {
    /// Lines of JSON; else `text/event-stream`.
    lines: bool,
    /// The line that is not at its end yet.
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed belongs to it.
    after_cr: bool,
    /// No line was read yet: a byte order mark may stand here.
    first: bool,
    open: Frame,
    /// Whether the open frame has a data line.
    has_data: bool,
    count: u32,
}

impl Frames {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            lines: mode == Mode::Ndjson,
            line: Vec::new(),
            after_cr: false,
            first: true,
            open: Frame::default(),
            has_data: false,
            count: 0,
        }
    }

    /// Takes the next bytes and adds the frames that are whole.
    ///
    /// # Errors
    ///
    /// The bound that the stream does not keep; the frames before are added.
    pub(super) fn push(&mut self, mut bytes: &[u8], found: &mut Vec<Frame>) -> Result<(), Excess> {
        if self.after_cr && !bytes.is_empty() {
            self.after_cr = false;
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
        }
        while let Some(end) = bytes.iter().position(|byte| self.ends_line(*byte)) {
            let (line, rest) = bytes.split_at(end);
            self.keep(line)?;
            self.end_line(found)?;
            bytes = match rest {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.keep(bytes)
    }

    /// The stream is at its end: what is open counts as a frame.
    ///
    /// # Errors
    ///
    /// As [`Frames::push`].
    pub(super) fn finish(&mut self, found: &mut Vec<Frame>) -> Result<(), Excess> {
        self.end_line(found)?;
        self.dispatch(found)
    }

    fn ends_line(&self, byte: u8) -> bool {
        byte == b'\n' || byte == b'\r' && !self.lines
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Excess> {
        if self.line.len() + self.open.data.len() + bytes.len() > FRAME_MAX {
            return Err(Excess::Frame);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, found: &mut Vec<Frame>) -> Result<(), Excess> {
        let line = std::mem::take(&mut self.line);
        let mut text = &*String::from_utf8_lossy(&line);
        if std::mem::take(&mut self.first) {
            text = text.strip_prefix('\u{feff}').unwrap_or(text);
        }
        if self.lines {
            self.has_data = !text.trim().is_empty();
            text.trim().clone_into(&mut self.open.data);
            return self.dispatch(found);
        }
        if text.is_empty() {
            return self.dispatch(found);
        }
        // A comment begins with a colon: its name is empty, and no field has that.
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.open.name = Some(value.to_owned()).filter(|name| !name.is_empty()),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.open.data.push('\n');
                }
                self.open.data.push_str(value);
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, found: &mut Vec<Frame>) -> Result<(), Excess> {
        let frame = std::mem::take(&mut self.open);
        if !std::mem::take(&mut self.has_data) && frame.name.is_none() {
            return Ok(());
        }
        self.count = self.count.saturating_add(1);
        if self.count > FRAMES_MAX {
            return Err(Excess::Frames);
        }
        found.push(frame);
        Ok(())
    }
}
