"""Is what Ramal claims true? Calls a server with recorded speech and lets a second recogniser hear both sides.

What must hold, of each call: Ramal understood the caller (its transcript against the manifest), it says what it claims
to say (the recording of its voice against its own record), and it answered the question. Then the controls: a judge
that does not object to another fixture, to silence, to a wrong rate or to swapped bytes would be measuring nothing.

usage: judge.py RAMAL MODELS WHISPER     the program, its speech models, the judge's model
"""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import numpy

from hear import Ear, read
from words import error_rate, words

WORST = 0.25
"""Highest word error rate of an utterance."""
FASTEST = 4.5
"""Words a second beyond which it is no human pace: Whisper still understands much of what runs at double speed."""
SPEECH = pathlib.Path(__file__).resolve().parent.parent / "fixtures/speech"
CALLS = [
    {
        "language": "en", "tag": "en-US", "question": "en-piper-joe-2.wav",
        "greeting": "Hello, you have reached the test company.",
        "asked": "What are your opening hours?", "answer": "We are open from Monday to Friday, from nine to six.",
    },
    {
        "language": "pt", "tag": "pt-BR", "question": "pt-kokoro-dora-2.wav",
        "greeting": "Bom dia, você ligou para a empresa de teste.",
        "asked": "Qual é o horário de atendimento?", "answer": "Atendemos de segunda a sexta, das nove às dezoito horas.",
    },
]


class Verdict:
    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, holds, what):
        self.passed, self.failed = self.passed + bool(holds), self.failed + (not holds)
        print(f"  {'ok    ' if holds else 'FAILED'} {what}", flush=True)


def free_ports():
    """A SIP port, and an even RTP port with room behind it; another program may still be faster, which fails loudly."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip:
        sip.bind(("127.0.0.1", 0))
        port = sip.getsockname()[1]
    for rtp in range(12_000, 17_000, 16):
        try:
            sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
            for n, rtp_socket in enumerate(sockets):
                rtp_socket.bind(("127.0.0.1", rtp + n))
            return port, rtp
        except OSError:
            continue
        finally:
            for rtp_socket in sockets:
                rtp_socket.close()
    raise SystemExit("judge: no free ports")


def configuration(folder, models, port, rtp):
    secretaries = "".join(
        f"""
[[secretaries]]
domain = "judge.example"
name = "{call['language']}"
extension = "{call['language']}"
provider = "local"
language = "{call['tag']}"
first_message = "{call['greeting']}"
answers = [{{ questions = ["{call['asked']}"], answer = "{call['answer']}" }}]
"""
        for call in CALLS
    )
    path = folder / "ramal.toml"
    path.write_text(
        f"""[sip]
udp = ["127.0.0.1:{port}"]
tcp = ["127.0.0.1:{port}"]
[rtp]
address = "127.0.0.1"
ports = "{rtp}-{rtp + 7}"
[database]
url = "sqlite:{folder}/ramal.db"
[local]
models_dir = "{models}"
{secretaries}"""
    )
    return path


class Server:
    """`ramal serve`, its log, and a polite end."""

    def __init__(self, ramal, config, environment):
        self.process = subprocess.Popen([ramal, "serve", "--config", str(config)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        self.log, self.ready = [], threading.Event()
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        for line in self.process.stdout:
            self.log.append(line.rstrip())
            if "listening udp" in line:
                self.ready.set()
        self.ready.set()

    def __enter__(self):
        if not self.ready.wait(60) or self.process.poll() is not None:
            raise SystemExit("judge: the server did not start\n" + "\n".join(self.log))
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def run(command, environment, patience=120):
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=patience, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"judge: {' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def latest(ramal, config, environment, calls):
    """The record of the newest call, once there are `calls` of them: it is written shortly after the BYE."""
    for _ in range(50):
        output = run([ramal, "conversations", "--last", "10", "--json", "--config", str(config)], environment)
        records = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        if len(records) >= calls:
            return max(records, key=lambda record: record["started_at"])
        time.sleep(0.2)
    raise SystemExit(f"judge: {len(records)} of {calls} calls are stored")


def said(record, who):
    return [turn for turn in record["turns"] if turn["who"] == who]


def judge_call(call, record, recording, ear, verdict, other):
    language = call["language"]
    manifest = {entry["file"]: entry["text"] for entry in json.loads((SPEECH / "manifest.json").read_text())}
    question = manifest[call["question"]]

    understood = " ".join(turn["text"] for turn in said(record, "caller"))
    wrong = error_rate(question, understood, language)
    verdict.check(wrong <= WORST, f"Ramal understood the caller: {wrong:.2f}  {understood!r}")

    wrong, pace, heard = listen(ear, question, *read(recording, 0), language)
    verdict.check(believable(wrong, pace), f"the recording has the caller on the left: {wrong:.2f}  {heard!r}")

    samples, rate = read(recording, 1)
    claimed = " ".join(turn["text"] for turn in said(record, "assistant"))
    wrong, pace, heard = listen(ear, claimed, samples, rate, language)
    verdict.check(believable(wrong, pace), f"Ramal said what it claims: {wrong:.2f}, {pace:.1f} words/s  {heard!r}")
    verdict.check(error_rate(call["answer"], last(claimed, call["answer"]), language) <= WORST, f"it answered: {claimed!r}")

    controls = {
        "another fixture": read(SPEECH / other),
        "silence": (numpy.zeros_like(samples), rate),
        "8 kHz declared as 16 kHz": (samples, rate * 2),
        "swapped bytes": (samples.byteswap(), rate),
    }
    for name, (sound, declared) in controls.items():
        wrong, pace, _ = listen(ear, claimed, sound, declared, language)
        verdict.check(not believable(wrong, pace), f"control, must be refused: {name}: {wrong:.2f}, {pace:.1f} words/s")


def listen(ear, text, samples, rate, language):
    """Word error rate of the sound as a rendering of the text, its pace, and what was heard."""
    heard, seconds = ear.hear(samples, rate, language)
    return error_rate(text, heard, language), len(words(heard, language)) / max(seconds, 0.1), heard


def believable(wrong, pace):
    return wrong <= WORST and pace <= FASTEST


def last(claimed, answer):
    """The words of the claim from where the answer begins; all of it when it is not there."""
    at = claimed.find(answer[:12])
    return claimed[at:at + len(answer)] if at >= 0 else claimed


def main():
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    ramal, models, whisper = map(lambda path: str(pathlib.Path(path).resolve()), sys.argv[1:])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAMAL_")}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ramal-judge-"))
    ear, verdict = Ear(whisper), Verdict()
    port, rtp = free_ports()
    config = configuration(folder, models, port, rtp)
    others = {"en": "en-agent-newlocation.wav", "pt": "pt-kokoro-dora-5.wav"}
    with Server(ramal, config, environment) as server:
        for number, call in enumerate(CALLS, 1):
            language = call["language"]
            if language == "pt" and not (shutil.which("RHVoice-test") or pathlib.Path(models, "tts/rhvoice").exists()):
                print("judge: RHVoice is absent: Portuguese is not judged", flush=True)
                continue
            print(f"a call in {language}", flush=True)
            recording = folder / f"{language}.wav"
            run([ramal, "call", f"sip:{language}@127.0.0.1:{port}", "--play", SPEECH / call["question"],
                 "--record", recording, "--json"], environment)
            record = latest(ramal, config, environment, number)
            judge_call(call, record, recording, ear, verdict, others[language])
    if verdict.failed:
        print(f"judge: the recordings and the server's data are in {folder}; the end of its log:", *server.log[-30:], sep="\n")
    else:
        shutil.rmtree(folder)
    print(f"{verdict.passed} passed, {verdict.failed} failed")
    sys.exit(bool(verdict.failed or not verdict.passed))


if __name__ == "__main__":
    main()
