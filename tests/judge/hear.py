"""A second recogniser: Whisper base, by other code and with another model than the server's."""
import wave

import numpy
from faster_whisper import WhisperModel

RATE = 16_000


def read(path, channel=0):
    """Samples of one channel and their rate."""
    with wave.open(str(path)) as file:
        if file.getsampwidth() != 2:
            raise ValueError(f"{path}: not 16-bit PCM")
        rate, channels = file.getframerate(), file.getnchannels()
        samples = numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    if channel >= channels:
        raise ValueError(f"{path}: no channel {channel}")
    return samples[channel::channels], rate


class Ear:
    def __init__(self, model):
        self.model = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=2, local_files_only=True)

    def hear(self, samples, rate, language):
        """What is said, and in how many seconds. Linear interpolation to 16 kHz is enough for telephone speech."""
        if len(samples) < 2:
            return "", 0.0
        sound = samples.astype(numpy.float32) / 32_768
        at = numpy.arange(0, len(sound) - 1, rate / RATE)
        sound = numpy.interp(at, numpy.arange(len(sound)), sound).astype(numpy.float32)
        # Without speech Whisper invents some; the filter is Silero's detector, and gives nothing for nothing.
        segments, _ = self.model.transcribe(sound, language=language, beam_size=1, temperature=0.0, vad_filter=True,
                                            condition_on_previous_text=False)
        segments = list(segments)
        text = " ".join(segment.text.strip() for segment in segments)
        return text, sum(segment.end - segment.start for segment in segments)
