"""Reads the conversations that are written down with the vendors' own models: what these do not know is a failure."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

# Of ElevenLabs' types, what has no `type`.
AUDIO = "UserAudio"
# What a client sends to ElevenLabs beside audio; the types do not say whose they are.
ELEVENLABS_CLIENT = {
    "client_tool_result",
    "contextual_update",
    "conversation_initiation_client_data",
    "pong",
    "user_activity",
    "user_message",
}
# OpenAI's models of a session that the server tells of are those of one that a client asks for, without what identifies it.
OPENAI_SESSION = {".session.id", ".session.object", ".session.expires_at"}


def messages(path):
    """Line number, side and message."""
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            entry = json.loads(line)
            yield number, entry["from"], entry["message"]


def unknown(model, at=""):
    """Fields that a model took without knowing them, wherever they are."""
    if isinstance(model, (list, tuple)):
        for index, value in enumerate(model):
            yield from unknown(value, f"{at}[{index}]")
    elif isinstance(model, dict):
        for key, value in model.items():
            yield from unknown(value, f"{at}.{key}")
    elif hasattr(model, "model_fields_set"):
        yield from (f"{at}.{name}" for name in model.model_extra or {})
        for name in type(model).model_fields:
            yield from unknown(getattr(model, name), f"{at}.{name}")


def typed(path, client, server, known=frozenset()):
    """Messages that say of which type they are; fields that are in order though the models do not know them."""
    from pydantic import TypeAdapter

    readers = {"client": TypeAdapter(client), "server": TypeAdapter(server)}
    for number, side, message in messages(path):
        # Unions would rather take a message for one of another kind than refuse it.
        read = readers[side].validate_python(message)
        if read.type != message["type"]:
            raise ValueError(f"line {number}: {message['type']} is read as {read.type}")
        extra = [name for name in unknown(read) if name not in known]
        if extra:
            raise ValueError(f"line {number}: {message['type']}: not known: {', '.join(extra)}")


def openai(path):
    from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent

    typed(path, RealtimeClientEvent, RealtimeServerEvent, OPENAI_SESSION)


def openai_live(path):
    from openai.types.live import ClientEvent, ServerEvent

    typed(path, ClientEvent, ServerEvent)


def gemini(path):
    from google.genai.types import LiveClientMessage, LiveServerMessage, RealtimeInputConfig

    readers = {"client": LiveClientMessage, "server": LiveServerMessage}
    for number, side, message in messages(path):
        # The SDK sends it and has a model of it, but not in that of the setup.
        listening = message.get("setup", {}).pop("realtimeInputConfig", {})
        # These models forbid what they do not know.
        try:
            RealtimeInputConfig.model_validate(listening)
            readers[side].model_validate(message)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None


def interfaces(declarations):
    """The interface of each `type`."""
    found = {}
    for name, body in re.findall(r"export interface (\w+) \{(.*?)\n\}", declarations, re.S):
        kind = re.search(r"^\s*type: \"(\w+)\";", body, re.M)
        if kind:
            found.setdefault(kind.group(1), name)
    return found


def elevenlabs(path, home):
    """A literal of an interface may have no member that the interface has not: the compiler sees to that."""
    declarations = home / "node_modules/@elevenlabs/types/dist/generated/types/asyncapi-types.d.ts"
    kinds = interfaces(declarations.read_text(encoding="utf-8"))
    lines = []
    for number, side, message in messages(path):
        kind = message.get("type")
        if kind is not None and kind not in kinds:
            raise ValueError(f"line {number}: there is no {kind}")
        if (side == "client") != (kind is None or kind in ELEVENLABS_CLIENT):
            raise ValueError(f"line {number}: {kind} is not for the {side} to send")
        name = AUDIO if kind is None else kinds[kind]
        lines.append(f'export const line{number}: types.{name} = {json.dumps(message)};')
    source = home / f"{path.stem}.mts"
    source.write_text('import type * as types from "@elevenlabs/types";\n' + "\n".join(lines) + "\n", encoding="utf-8")
    tsc = ["node", home / "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck"]
    options = ["--module", "nodenext", "--target", "es2022", source]
    compiled = subprocess.run(tsc + options, capture_output=True, text=True, cwd=home)
    if compiled.returncode:
        raise ValueError(compiled.stdout)
    initiation(path)


def initiation(path):
    """What a conversation begins with is known to the Python SDK, too."""
    from elevenlabs.types import ConversationInitiationClientDataRequestInput as Initiation

    for number, _, message in messages(path):
        if message.get("type") == "conversation_initiation_client_data":
            wanted = {key: value for key, value in message.items() if key != "type"}
            extra = list(unknown(Initiation.model_validate(wanted)))
            if extra:
                raise ValueError(f"line {number}: not known: {', '.join(extra)}")


def elevenlabs_record(path):
    """The record of a conversation, of which the cost is read."""
    from elevenlabs.types import GetConversationResponseModel as Record

    for number, _, message in messages(path):
        extra = list(unknown(Record.model_validate(message)))
        if extra:
            raise ValueError(f"line {number}: not known: {', '.join(extra)}")


def lost(given, read, at=""):
    """Members of a request that a model of it dropped, wherever they are."""
    if isinstance(given, dict):
        known = read if isinstance(read, dict) else read.model_dump(exclude_unset=True)
        for key, value in given.items():
            if key not in known:
                yield f"{at}.{key}"
            else:
                yield from lost(value, known[key], f"{at}.{key}")
    elif isinstance(given, list):
        for index, (one, other) in enumerate(zip(given, list(read), strict=True)):
            yield from lost(one, other, f"{at}[{index}]")


def parts(path):
    """Separate parts: each line is for, or from, one service."""
    from deepgram.listen.v1.client import V1Client
    from deepgram.listen.v1.socket_client import V1SocketClientResponse
    from deepgram.listen.v1.types import ListenV1Finalize
    from deepgram.listen.v2.client import V2Client
    from deepgram.listen.v2.socket_client import V2SocketClientResponse
    from deepgram.speak.v1.audio.client import AudioClient
    from elevenlabs.text_to_speech.client import TextToSpeechClient
    from elevenlabs.types import VoiceSettings
    from openai.resources.audio.transcriptions import Transcriptions
    from openai.types.audio import SpeechCreateParams, Transcription
    from openai.types.chat import ChatCompletionChunk, CompletionCreateParams
    from pydantic import TypeAdapter

    def asks(method, names):
        """Whether a method of the SDK has these parameters."""
        extra = set(names) - set(inspect.signature(method).parameters)
        if extra:
            raise ValueError(f"line {number}: not known: {', '.join(sorted(extra))}")

    def request(model, body):
        adapter = TypeAdapter(model)  # what it reads of a list is read later, and needs it still
        extra = list(lost(body, adapter.validate_python(body)))
        if extra:
            raise ValueError(f"line {number}: not known: {', '.join(extra)}")

    events = {"v1": V1SocketClientResponse, "v2": V2SocketClientResponse}
    for number, side, entry in messages(path):
        service, body = entry["service"], entry.get("body")
        if service == "listen" and "query" in entry:
            asks({"v1": V1Client, "v2": V2Client}[entry["version"]].connect, entry["query"])
        elif service == "listen" and side == "client":
            ListenV1Finalize.model_validate(entry["message"])
        elif service == "http" and entry["path"].endswith("/chat/completions"):
            request(CompletionCreateParams, body)
        elif service == "http" and entry["path"].endswith("/audio/speech"):
            request(SpeechCreateParams, body)
        elif service == "http" and entry["path"].endswith("/audio/transcriptions"):
            asks(Transcriptions.create, body)
        elif service == "http" and entry["path"] == "/v1/speak":
            asks(AudioClient.generate, [*entry["query"], *body])
        elif service == "http" and "/text-to-speech/" in entry["path"]:
            asks(TextToSpeechClient.stream, [*entry["query"], *body])
            extra = list(unknown(VoiceSettings.model_validate(body.get("voice_settings", {}))))
            if extra:
                raise ValueError(f"line {number}: not known: {', '.join(extra)}")
        else:
            model = {"chat": ChatCompletionChunk, "transcription": Transcription, "listen": events.get(entry.get("version"))}
            read = TypeAdapter(model[service]).validate_python(entry["message"])
            if getattr(read, "type", None) != entry["message"].get("type"):
                raise ValueError(f"line {number}: {entry['message']['type']} is read as {read.type}")
            extra = list(unknown(read))
            if extra:
                raise ValueError(f"line {number}: not known: {', '.join(extra)}")


def main():
    folder, home = (Path(argument).resolve() for argument in sys.argv[1:3])
    checks = {
        "openai": openai,
        "gemini": gemini,
        "elevenlabs": lambda path: elevenlabs(path, home),
        "openai-live": openai_live,
        "openai-resumed": openai,
        "openai-live-resumed": openai_live,
        "gemini-resumed": gemini,
        "elevenlabs-resumed": lambda path: elevenlabs(path, home),
        "elevenlabs-error": lambda path: elevenlabs(path, home),
        "elevenlabs-record": elevenlabs_record,
        "pipeline-flux": parts,
        "pipeline-nova": parts,
        "pipeline-turns": parts,
    }
    paths = {path.stem: path for path in folder.glob("*.jsonl")}
    if paths.keys() != checks.keys():
        sys.exit(f"sdk: {sorted(paths)} are written down, and {sorted(checks)} are to be checked")
    failed = False
    for name, check in checks.items():
        try:
            check(paths[name])
            print(f"sdk: {name}: {sum(1 for _ in messages(paths[name]))} messages are as the vendor's models want them")
        except ValueError as error:
            failed = True
            print(f"sdk: {name}: {error}", file=sys.stderr)
    sys.exit(failed)


if __name__ == "__main__":
    main()
