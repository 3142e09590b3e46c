import io
import shlex

import numpy as np
import pytest
import soundfile

from bench.base.errors import BadInput
from bench.data import audio
from bench.data.sound_files import contents

NOISE = np.random.default_rng(0).bytes(2000)
SOUNDS = {  # first bytes: what they are
    b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\x82\x84webm": "WebM",
    b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x88matroska": "Matroska",
    b"\x00\x00\x00\x20ftypM4A \x00\x00\x00\x00M4A mp42isom": "M4A",
    b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2mp41": "MPEG-4",
    b"\x00\x00\x00\x18ftyp3gp4\x00\x00\x00\x003gp4": "3GP",
    b"\x00\x00\x00\x18ftyp3g2a\x00\x00\x00\x003g2a": "3GP",
    b"\x00\x00\x00\x14ftypqt  ": "QuickTime",
    b"\x00\x00\x00\x08wide\x00\x00\x10\x00mdat": "QuickTime",
    b"\xff\xf1\x50\x80\x02\x1f\xfc": "AAC",
    b"ADIF": "AAC",
    b"#!AMR\n": "AMR",
    b"#!AMR-WB\n": "AMR-WB",
    b"\x02#!SILK_V3": "SILK",
    b"caff\x00\x01\x00\x00": "CAF",
    b"OggS\x00\x02" + bytes(22) + b"Speex   1.2": "Speex",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9": "WMA",
    b"MAC \x96\x0f": "APE",
    b"wvpk": "WavPack",
    b"RIFF\x00\x00\x01\x00AVI LIST": "AVI",
    b"RIFF\x00\x00\x01\x00WAVEfmt \x12\x00\x00\x00\x61\x01\x01\x00": "format tag 0x0161",
    b"FORM\x00\x00\x01\x00AIFCFVER": "AIFF",
}
OTHERS = {  # content: what it is, what is to be done
    b"<!DOCTYPE html><html><head><title>Sign in</title></head>": ("web page", "download it again"),
    b"\xef\xbb\xbf\n <HTML><body>404</body>": ("web page", "download it again"),
    b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>': ("XML", "download it again"),
    b'{"message": "Not Found"}': ("JSON", "download it again"),
    b'[{"id": 1}]': ("JSON", "download it again"),
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123\n": ("LFS", "git lfs pull"),
    b"/annex/objects/SHA256E-s123--0.wav\n": ("git-annex", "git annex get"),
    b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X": ("AppleDouble", "without ._"),
    b"PK\x03\x04\x14\x00": ("zip", "unpack"),
    b"\x1f\x8b\x08\x00": ("gzip", "unpack"),
    b"7z\xbc\xaf\x27\x1c": ("7z", "unpack"),
    b"\x89PNG\r\n\x1a\n": ("picture", "replace"),
    b"%PDF-1.4": ("PDF", "replace"),
    b"0       X X X X": ("EDF", "as .wav"),
    b"\x93NUMPY\x01\x00": ("NumPy", "as .wav"),
    bytes(5000): ("zero bytes", "replace"),
    "Zeitüberschreitung der Anfrage\n".encode(): ("text: 'Zeitüberschreitung der Anfrage'", "replace"),
    "not found".encode("utf-16"): ("UTF-16", "replace"),
}


def refusal(folder, content: bytes, name: str = "a b.wav") -> BadInput:
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(BadInput) as error:
        audio.samples(path)
    return error.value


@pytest.mark.parametrize("head", SOUNDS)
def test_another_container_is_named_with_the_line_that_converts_it(tmp_path, head):
    error = refusal(tmp_path, head + NOISE)
    assert SOUNDS[head] in error.problem
    assert error.remedy.endswith("ffmpeg -i 'a b.wav' 'a b.converted.wav'")


@pytest.mark.parametrize("content", OTHERS)
def test_what_is_no_sound_is_named_with_what_to_do(tmp_path, content):
    error = refusal(tmp_path, content)
    what, remedy = OTHERS[content]
    assert what in error.problem and remedy in error.remedy and "ffmpeg" not in error.remedy


@pytest.mark.parametrize(
    ("format", "subtype"), [("OGG", "OPUS"), ("OGG", "VORBIS"), ("CAF", "PCM_16"), ("AIFF", "ULAW")]
)
def test_of_a_known_container_damage_is_thought_of_first(tmp_path, format, subtype):
    content = io.BytesIO()
    soundfile.write(content, np.zeros(48000), 48000, format=format, subtype=subtype)
    error = refusal(tmp_path, content.getvalue()[:60])
    assert (
        f"it is {format}".lower() in error.problem.lower()
        and "is damaged, or in a codec that is not read here" in error.problem
    )
    assert error.remedy.startswith("replace it by a fresh copy") and "if it plays elsewhere, convert it" in error.remedy


def test_unknown_bytes_are_not_given_a_name(tmp_path):
    assert "is not a readable sound file (Format not recognised)" in refusal(tmp_path, b"\x81\x92" + NOISE).problem


def test_what_is_said_does_not_depend_on_where_the_file_lies(tmp_path):
    for content in (*SOUNDS, *OTHERS, b"\x81\x92" + NOISE, b"RIFF\x00\x00"):
        error = refusal(tmp_path, content)
        assert str(tmp_path) not in error.problem + error.remedy


def test_text_that_is_cut_within_a_character_is_still_text():
    long = ("x" + "ü" * contents.HEAD).encode()
    assert contents.describe(long[: contents.HEAD], "a.wav").what.startswith("text")


@pytest.mark.parametrize("name", ["-x.wav", "a'b.wav", "$(x).wav", "noext"])
def test_the_command_names_the_file_whatever_it_is_called(name):
    words = shlex.split(contents.ffmpeg(name))
    assert words[:2] == ["ffmpeg", "-i"] and words[2].removeprefix("./") == name
    assert not words[2].startswith("-") and not words[3].startswith("-") and words[2] != words[3]


@pytest.mark.parametrize(("format", "subtype"), [("MP3", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("AIFF", "PCM_16")])
def test_what_decodes_is_read_whatever_its_name(tmp_path, format, subtype):
    if format not in soundfile.available_formats():
        pytest.skip(f"this libsndfile writes no {format}")
    content, wave = io.BytesIO(), 0.5 * np.sin(np.arange(48000) / 20)
    soundfile.write(content, wave, 48000, format=format, subtype=subtype)
    (tmp_path / "a.wav").write_bytes(content.getvalue())
    read, rate = audio.read(tmp_path / "a.wav")
    assert rate == 48000 and abs(len(read) - len(wave)) < 4800
