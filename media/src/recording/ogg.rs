//! Ogg/Opus (RFC 7845): what is pushed in becomes bytes to append to a file, page by whole page.
use crate::audio::SampleRate;
use audiopus::{Application, Bitrate, Channels, Signal, coder};
use ogg::{PacketWriteEndInfo as End, PacketWriter};
use std::{io, time::Duration};

/// Both sides of a call together: speech mostly, and mostly one of them at a time.
const BITRATE: i32 = 32_000;
/// Of 10: the knee of quality over time.
const COMPLEXITY: u8 = 5;
const FRAME: Duration = Duration::from_millis(20);
/// RFC 6716 §3.4: the most bytes one frame can have; with two channels coded as one packet it is the same.
const LONGEST_FRAME_BYTES: usize = 1_275;
/// RFC 7845 §4: granule positions count at 48 kHz.
const GRANULES: u64 = 48_000;
/// One logical stream a file: any number will do.
const SERIAL: u32 = 1;
const CHANNELS: usize = 2;

/// Why nothing can be encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// libopus refuses.
    #[error("Opus: {0}")]
    Opus(#[from] audiopus::Error),
    /// The container refuses.
    #[error("Ogg: {0}")]
    Ogg(#[from] io::Error),
}

/// A stereo stream in the making.
#[derive(Debug)]
pub struct Writer {
    encoder: Encoder,
    pages: Pages,
    rate: SampleRate,
    /// Less than a frame.
    waiting: Vec<i16>,
    /// Samples a channel, as pushed.
    pushed: u64,
    /// Frames encoded.
    encoded: u64,
    /// RFC 7845 §4.2: what a decoder gives before the first sample pushed, at 48 kHz.
    pre_skip: u16,
}

#[derive(Debug)]
struct Encoder(coder::Encoder);

struct Pages(PacketWriter<'static, Vec<u8>>);

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pages")
    }
}

impl Writer {
    /// A stream at `rate`, 8 or 16 kHz. Its first bytes come with the first push.
    ///
    /// # Errors
    /// libopus cannot be set up.
    pub fn new(rate: SampleRate) -> Result<Self, Error> {
        let opus = audiopus::SampleRate::try_from(i32::try_from(rate.hz()).unwrap_or_default())?;
        let mut encoder = coder::Encoder::new(opus, Channels::Stereo, Application::Audio)?;
        encoder.set_bitrate(Bitrate::BitsPerSecond(BITRATE))?;
        encoder.set_complexity(COMPLEXITY)?;
        encoder.set_signal(Signal::Voice)?;
        let lookahead = u64::from(encoder.lookahead()?) * GRANULES / u64::from(rate.hz());
        let pre_skip = u16::try_from(lookahead).unwrap_or(u16::MAX);
        let mut pages = Pages(PacketWriter::new(Vec::new()));
        pages.0.write_packet(head(rate, pre_skip), SERIAL, End::EndPage, 0)?;
        pages.0.write_packet(tags(), SERIAL, End::EndPage, 0)?;
        Ok(Self { encoder: Encoder(encoder), pages, rate, waiting: Vec::new(), pushed: 0, encoded: 0, pre_skip })
    }

    /// Takes interleaved samples; gives the whole pages that come of them.
    ///
    /// # Errors
    /// libopus refuses a frame.
    pub fn push(&mut self, samples: &[i16]) -> Result<Vec<u8>, Error> {
        self.pushed += (samples.len() / CHANNELS) as u64;
        self.waiting.extend(samples);
        let length = self.rate.samples_in(FRAME) * CHANNELS;
        let whole = self.waiting.len() / length;
        for (index, frame) in std::mem::take(&mut self.waiting).chunks(length).enumerate() {
            if index == whole {
                self.waiting = frame.to_vec();
                break;
            }
            let end = if index + 1 == whole { End::EndPage } else { End::NormalPacket };
            let granule = self.granule(self.encoded + 1);
            self.encode(frame, end, granule)?;
        }
        Ok(std::mem::take(self.pages.0.inner_mut()))
    }

    /// The last pages.
    ///
    /// # Errors
    /// libopus refuses a frame.
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        let length = self.rate.samples_in(FRAME) * CHANNELS;
        // What the encoder still has inside is pushed out by silence; RFC 7845 §4.4 cuts the surplus off.
        let last = u64::from(self.pre_skip) + self.pushed * GRANULES / u64::from(self.rate.hz());
        loop {
            let mut frame = std::mem::take(&mut self.waiting);
            frame.resize(length, 0);
            let granule = self.granule(self.encoded + 1);
            if granule >= last {
                self.encode(&frame, End::EndStream, last)?;
                return Ok(std::mem::take(self.pages.0.inner_mut()));
            }
            self.encode(&frame, End::NormalPacket, granule)?;
        }
    }

    fn granule(&self, frames: u64) -> u64 {
        frames * self.rate.samples_in(FRAME) as u64 * GRANULES / u64::from(self.rate.hz())
    }

    fn encode(&mut self, frame: &[i16], end: End, granule: u64) -> Result<(), Error> {
        let mut packet = vec![0; LONGEST_FRAME_BYTES];
        let written = self.encoder.0.encode(frame, &mut packet)?;
        packet.truncate(written);
        self.encoded += 1;
        Ok(self.pages.0.write_packet(packet, SERIAL, end, granule)?)
    }
}

/// RFC 7845 §5.1.
fn head(rate: SampleRate, pre_skip: u16) -> Vec<u8> {
    let mut head = b"OpusHead\x01\x02".to_vec();
    head.extend(pre_skip.to_le_bytes());
    head.extend(rate.hz().to_le_bytes());
    head.extend([0, 0, 0]); // no gain; family 0: left and right
    head
}

/// RFC 7845 §5.2.
fn tags() -> Vec<u8> {
    let vendor = audiopus::version();
    let mut tags = b"OpusTags".to_vec();
    tags.extend(u32::try_from(vendor.len()).unwrap_or_default().to_le_bytes());
    tags.extend(vendor.as_bytes());
    tags.extend(0_u32.to_le_bytes());
    tags
}

/// How much of a file is whole pages (RFC 3533 §6): the file of a writer that was killed is cut there.
pub fn whole(file: &[u8]) -> usize {
    let mut end = 0;
    while let Some(length) = file.get(end..).and_then(page) {
        end += length;
    }
    end
}

/// How long the whole pages of a file play (RFC 7845 §4): to the granule position of the last, without what is skipped.
pub fn duration(file: &[u8]) -> Duration {
    /// RFC 7845 §5.1, behind a page header with one segment.
    const PRE_SKIP: std::ops::Range<usize> = 38..40;
    let (mut at, mut last) = (0, 0);
    while let Some(length) = file.get(at..).and_then(page) {
        let granule = file.get(at + 6..at + 14).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        // RFC 3533 §6: a page on which no packet ends has none.
        last = granule.filter(|granule| *granule != u64::MAX).unwrap_or(last);
        at += length;
    }
    let skipped = file.get(PRE_SKIP).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes);
    Duration::from_millis(last.saturating_sub(skipped.into()) / (GRANULES / 1_000))
}

fn page(bytes: &[u8]) -> Option<usize> {
    const SEGMENTS: usize = 26;
    if !bytes.starts_with(b"OggS") {
        return None;
    }
    let segments = usize::from(*bytes.get(SEGMENTS)?);
    let table = bytes.get(SEGMENTS + 1..SEGMENTS + 1 + segments)?;
    let length = SEGMENTS + 1 + segments + table.iter().map(|lacing| usize::from(*lacing)).sum::<usize>();
    (length <= bytes.len()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    const RATE: SampleRate = SampleRate::HZ_16000;

    /// A second of 500 Hz on the left, 1 kHz on the right.
    fn second() -> Vec<i16> {
        let tone = |hz: f64, n: usize| (8_000.0 * (TAU * hz * n as f64 / 16_000.0).sin()) as i16;
        (0..16_000).flat_map(|n| [tone(500.0, n), tone(1_000.0, n)]).collect()
    }

    fn written(pieces: usize) -> Vec<u8> {
        let mut writer = Writer::new(RATE).unwrap();
        let mut file = Vec::new();
        for piece in second().chunks(pieces * CHANNELS) {
            file.extend(writer.push(piece).unwrap());
        }
        file.extend(writer.finish().unwrap());
        file
    }

    #[test]
    fn a_second_comes_back_as_a_second_with_both_sides_apart() {
        let file = written(333);
        let mut reader = ogg::PacketReader::new(io::Cursor::new(&file));
        let head = reader.read_packet().unwrap().unwrap();
        assert_eq!((&head.data[..8], head.data[9]), (&b"OpusHead"[..], 2));
        let pre_skip = usize::from(u16::from_le_bytes([head.data[10], head.data[11]])) / 3;
        assert!(reader.read_packet().unwrap().unwrap().data.starts_with(b"OpusTags"));
        let mut decoder = coder::Decoder::new(audiopus::SampleRate::Hz16000, Channels::Stereo).unwrap();
        let (mut samples, mut granule) = (Vec::new(), 0);
        while let Some(packet) = reader.read_packet().unwrap() {
            let mut frame = vec![0_i16; 320 * CHANNELS];
            let data = packet.data.as_slice().try_into().unwrap();
            let written = decoder.decode(Some(data), frame.as_mut_slice().try_into().unwrap(), false).unwrap();
            assert_eq!(written, 320);
            samples.extend(frame);
            granule = packet.absgp_page();
            assert_eq!(packet.last_in_stream(), granule as usize == pre_skip * 3 + 48_000);
        }
        assert_eq!(granule as usize, pre_skip * 3 + 48_000, "the end is where the second ends");
        let heard = &samples[pre_skip * CHANNELS..];
        let power = |channel: usize, hz: f64| {
            let at = |n: usize| f64::from(heard[(4_000 + n) * CHANNELS + channel]);
            let sum = |f: fn(f64) -> f64| (0..8_000).map(|n| at(n) * f(TAU * hz * n as f64 / 16_000.0)).sum::<f64>();
            sum(f64::sin).hypot(sum(f64::cos)) / 4_000.0
        };
        for (channel, own, other) in [(0, 500.0, 1_000.0), (1, 1_000.0, 500.0)] {
            assert!(power(channel, own) > 6_000.0 && power(channel, other) < 400.0, "channel {channel}");
        }
    }

    #[test]
    fn a_torn_file_is_cut_after_its_last_whole_page() {
        let file = written(8_000);
        assert_eq!((whole(&file), duration(&file)), (file.len(), Duration::from_secs(1)));
        for torn in [file.len() - 1, file.len() - 200] {
            let cut = whole(&file[..torn]);
            assert!(cut < torn && whole(&file[..cut]) == cut, "{torn} to {cut}");
            assert!(cut > file.len() / 3, "half a second is whole");
            let lasting = duration(&file[..torn]).as_millis();
            assert!((480..1_000).contains(&lasting) && duration(&file[..cut]).as_millis() == lasting, "{lasting} ms");
        }
        assert_eq!(whole(b"RIFF"), 0);
        assert_eq!((whole(b"OggS"), duration(b"OggS")), (0, Duration::ZERO));
    }
}
