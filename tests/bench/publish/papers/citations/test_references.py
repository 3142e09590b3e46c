import re

import pytest

from bench.base import registry
from bench.finetune.methods import METHODS
from bench.probe.protocols import PROTOCOLS
from bench.publish.papers.citations.bibliography import bibliography
from bench.publish.papers.citations.references import FILE, references
from bench.publish.papers.citations.used import encoder_use, uses
from paper_records import record


def parsed(bibtex):
    """{key: {field: value}}; asserts that the text is nothing but well-formed entries."""
    entries, at = {}, 0
    text = re.sub(r"^%.*\n", "", bibtex, flags=re.MULTILINE)
    while match := re.compile(r"\s*@(\w+)\{([\w-]+),").match(text, at):
        key, at, fields = match[2], match.end(), {}
        assert key not in entries, key
        while field := re.compile(r"\s*(\w+) = \{").match(text, at):
            start = at = field.end()
            depth = 1
            while depth:
                depth += {"{": 1, "}": -1}.get(text[at], 0) if text[at - 1] != "\\" else 0
                at += 1
            assert field[1] not in fields, (key, field[1])
            fields[field[1]] = text[start : at - 1]
            at += text[at] == ","
        end = re.compile(r"\s*\}").match(text, at)
        assert end, (key, text[at : at + 60])
        at, entries[key] = end.end(), fields
    assert not text[at:].strip(), text[at : at + 80]
    return entries


def test_the_file_is_bibtex_and_every_entry_says_what_it_is_for():
    raw = parsed(FILE.read_text(encoding="utf-8"))
    assert list(raw) == list(references()) and len(raw) > 60
    for key, fields in raw.items():
        assert fields["respbench"], key
        assert fields.get("note") == "unverified" or {"author", "title", "year"} <= set(fields), key
        assert re.fullmatch(r"(19|20)\d\d", fields.get("year", "2000")), key
        assert all(value.isascii() for value in fields.values()), key
    assert not re.search(r"(?<!\\)[&%#]", FILE.read_text(encoding="utf-8").split("\n\n", 1)[1].replace("\n%", ""))


def test_every_encoder_corpus_method_and_protocol_of_others_has_an_entry():
    known = references().values()
    wanted = [encoder_use(card.id) for card in registry.cards(registry.ENCODERS)]
    wanted += [f"corpus/{corpus}" for card in registry.cards(registry.TASKS) for corpus in card.corpora]
    wanted += [f"method/{name}" for name in METHODS]
    wanted += [f"protocol/{n}" for n in PROTOCOLS if n.startswith("literature/") and PROTOCOLS[n].kind == "frozen"]
    assert [use for use in dict.fromkeys(wanted) if use and not any(entry.is_for(use) for entry in known)] == []


def test_a_folder_cites_what_its_records_used_and_nothing_else():
    made = [record("efficientat.mn04", pooling="freq"), record("random.ast.base"), record("control.majority")]
    entries = parsed(bibliography(made).bibtex())
    assert set(entries) == {
        "respbench",
        "zhang2022sprsound",
        "zhang2022challenge",
        "hesterberg2015bootstrap",
        "schmid2023efficientat",
        "niizumi2023m2d",
        "gong2021ast",
    }
    assert not any("respbench" in fields for fields in entries.values())


def test_a_recipe_s_method_is_cited_and_lora_only_where_it_was_trained():
    recipe = {
        "method": {"name": "focal", "options": {}},
        "encoder": {"train": "all"},
        "lora": {"rank": 8},
        "spectrogram": {"band_mask": 16, "bands": 0, "frame_mask": 0, "frames": 2},
    }
    tuned = record("ast.base", protocol="finetune", protocol_version=1, kind="finetune", recipe=recipe, device="cpu")
    assert {"method/focal", "train/all"} <= set(uses([tuned]))
    assert "lin2017focal" in bibliography([tuned]).bibtex()
    assert not {"hu2022lora", "park2019specaugment"} & set(parsed(bibliography([tuned]).bibtex()))


def test_teachers_and_a_stretch_of_frequencies_are_cited():
    recipe = {
        "method": {"name": "ce", "options": {}},
        "spectrogram": {"vtlp": 0.1, "vtlp_hz": 4800.0},
        "distillation": {"weight": 0.5, "temperature": 2.0, "teachers": ["efficientat.mn04:0123abcd"]},
    }
    tuned = record("ast.base", protocol="finetune", protocol_version=1, kind="finetune", recipe=recipe, device="cpu")
    cited = set(parsed(bibliography([tuned]).bibtex()))
    assert {"jaitly2013vtlp", "hinton2015distilling", "schmid2023efficientat", "gong2021ast"} <= cited


def test_what_nobody_has_an_entry_for_gets_what_is_known():
    evil = {"citation": r"A & B, 50% of {x}_\input{y}", "url": "https://example.org/a_b?c=%41#d}\\x"}
    made = [record("toy.unknown", "toy.cough", data=evil)]
    entries = parsed(bibliography(made).bibtex())
    assert entries["encoder-toy-unknown"] == {"title": "toy.unknown", "note": "unverified"}
    corpus = entries["corpus-toy"]
    assert corpus["note"] == "unverified" and r"\&" in corpus["title"] and r"\input" not in corpus["title"]
    assert not re.search(r"(?<!\\)[%#]|\\x", corpus["howpublished"])


def test_the_version_is_that_of_the_records():
    made = record("ast.base")
    made.run["versions"] = {"respbench": "0.1.0"}
    assert parsed(bibliography([made]).bibtex())["respbench"]["version"] == "0.1.0"
    assert "version" not in parsed(bibliography([record("ast.base")]).bibtex())["respbench"]


def test_respbench_is_cited_as_its_citation_file_says():
    cff = (FILE.parents[4] / "CITATION.cff").read_text(encoding="utf-8")
    own = parsed(references()["respbench"].text)["respbench"]
    plain = {name: re.sub("[{}]", "", value) for name, value in own.items()}
    assert f'title: "{plain["title"]}"' in cff and f'name: "{plain["author"]}"' in cff
    assert f'date-released: "{plain["year"]}-' in cff


@pytest.mark.parametrize("encoder", ["control.chance", "meta.duration"])
def test_our_own_controls_cite_nobody(encoder):
    assert encoder_use(encoder) == ""
