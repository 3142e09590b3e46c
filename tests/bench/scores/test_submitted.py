import gzip

import pytest

import bench
from bench.base import registry
from bench.base.errors import BadInput, RespBenchError
from bench.cli.main import main
from bench.scores import records
from bench.scores.submitted import LabelReader, score_file


@pytest.fixture(scope="module")
def record(simulated):
    return bench.evaluate(bench.load_encoder("meta.duration"), bench.load_task("sprsound.events7", simulated))[0]


def scored(file, root=None):
    """The report of a file for one task, with the manifest of the copy below ``root`` where there is one."""
    card = registry.task_card("sprsound.events7")
    try:
        manifest = bench.load_task(card.id, root).manifest
    except RespBenchError as error:
        return score_file(card, file, absent=str(error))
    return score_file(card, file, manifest)


@pytest.fixture
def predictions(record, tmp_path):
    path = tmp_path / "predictions.csv"
    record.predictions.drop(columns=["group", "domain", "split"]).to_csv(path, index=False)
    return path


@pytest.mark.long
def test_scoring_our_own_predictions_gives_our_own_record(record, predictions, simulated):
    report = scored(predictions, simulated)
    assert report["scores"] == record.scores
    assert report["warnings"] == []


def test_class_names_gzip_and_missing_scores_are_welcome(record, predictions, simulated, tmp_path):
    names = record.data["task"]["classes"]
    table = record.predictions[["clip_id", "y_true", "y_pred"]].copy()
    table["y_true"] = [names[k] for k in table["y_true"]]
    table["y_pred"] = [names[k].upper() for k in table["y_pred"]]
    path = tmp_path / "named.csv.gz"
    path.write_bytes(gzip.compress(table.to_csv(index=False).encode()))
    report = scored(path, simulated)
    assert report["scores"]["inter"]["sprsound.Score"] == record.scores["inter"]["sprsound.Score"]
    assert "auroc" not in report["scores"]["inter"]


def test_the_challenge_s_own_spelling_of_a_class_is_understood(record, simulated, tmp_path):
    names = [name.replace("+", " & ") for name in record.data["task"]["classes"]]
    assert "Wheeze & Crackle" in names
    table = record.predictions[["clip_id"]].assign(
        y_true=[names[k] for k in record.predictions["y_true"]], y_pred=[names[k] for k in record.predictions["y_pred"]]
    )
    table.to_csv(tmp_path / "named.csv", index=False)
    report = scored(tmp_path / "named.csv", simulated)
    assert report["scores"]["inter"]["uar"] == record.scores["inter"]["uar"]


LUNG_SOUNDS = [card for card in registry.cards(registry.TASKS) if {"icbhi", "sprsound"} & set(card.corpora)]
WRITTEN = [  # as ICBHI, SPRSound, its challenge and papers write one label each
    ("both", "Both", "Wheeze+Crackle", "Wheeze & Crackle", "crackle + wheeze", " wheeze&crackle "),
    ("CAS & DAS", "CAS&DAS", "cas+das", "DAS & CAS"),
    ("Coarse Crackle", "coarse  crackle", "COARSE CRACKLE"),
    ("Fine Crackle", "fine crackle"),
    ("Poor Quality", "poor quality", " POOR  QUALITY"),
    ("normal", "Normal"),
    ("COPD", "copd"),
]


@pytest.mark.parametrize("card", LUNG_SOUNDS, ids=lambda card: card.id)
def test_every_task_reads_its_labels_as_corpora_challenge_and_papers_write_them(card):
    for names in WRITTEN:
        read = {label(name, card) for name in names} - {None}
        assert len(read) <= 1, f"{names} are read as {read}"
    assert [label(name, card) for name in card.classes] == [
        1 << k if card.kind == "multilabel" else k for k in range(len(card.classes))
    ]


@pytest.mark.parametrize(
    ("task", "text", "expected"),
    [
        ("icbhi.cycles4", "Crackle & Wheeze", 3),
        ("icbhi.cycles2", "both", 1),
        ("icbhi.bits", "Both", 3),
        ("icbhi.bits", "Wheeze+Crackle", 3),
        ("icbhi.bits", "normal", 0),
        ("icbhi.disease3", "Pneumonia", 2),
        ("icbhi.disease2", "Pneumonia", None),
        ("sprsound.events7", "Wheeze & Crackle", 6),
        ("sprsound.events2", "Wheeze+Crackle", 1),
        ("sprsound.events2@2023", "Rhonchi", 1),
        ("sprsound.records3", "CAS & DAS", 2),
        ("sprsound.records5", "CAS&DAS", 4),
        ("sprsound.records5", "Poor Quality", 1),
        ("transfer.icbhi-sprsound.4", "Wheeze & Crackle", 3),
        ("transfer.icbhi-sprsound.4", "Fine Crackle", 1),
        ("transfer.icbhi-sprsound.4", "Stridor", None),
        ("transfer.icbhi-sprsound.4@cas_to_wheeze", "Stridor", 2),
        ("transfer.sprsound-icbhi.bits", "Wheeze+Crackle", 3),
        ("transfer.sprsound-icbhi", "Coarse Crackle", 1),
    ],
)
def test_labels_of_the_corpora_are_read_in_the_task_s_own_terms(task, text, expected):
    assert label(text, registry.task_card(task)) == expected


def label(text, card):
    return LabelReader(card).named(text)


def test_unknown_clips_are_scored_as_given_with_a_warning(predictions, simulated, record):
    predictions.write_text(
        predictions.read_text()
        + predictions.read_text().splitlines()[1].replace(record.predictions["clip_id"].iloc[0], "my-own-clip")
        + "\n"
    )
    report = scored(predictions, simulated)
    assert list(report["scores"]) == ["as given"]
    assert "clip-level interval" in report["warnings"][0]
    score = report["scores"]["as given"]["sprsound.Score"]
    assert score["n"] == score["groups"] == len(record.predictions) + 1
    assert "clip" in score["method"]


def test_without_any_data_a_file_is_still_scored(predictions, tmp_path):
    report = scored(predictions, tmp_path)
    assert list(report["scores"]) == ["as given"] and len(report["warnings"]) == 2


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip_id,y_true\na,0\n", "no column y_pred"),
        ("clip_id,y_true,y_pred\n", "no predictions"),
        ("clip_id,y_true,y_pred\na,0,0\na,0,0\n", "more than once"),
        ("clip_id,y_true,y_pred\na,0,9\n", "line 2 is '9'"),
        ("clip_id,y_true,y_pred\na,0,0\nb,Wheezy,0\n", "line 3 is 'Wheezy'"),
        ("clip_id,y_true,y_pred,s_0\na,0,0,0.5\n", "score columns s_0"),
        ("clip_id,y_true,y_pred,duration_s\na,0,0,long\n", "duration_s in line 2"),
        ("", "not a readable CSV"),
    ],
)
def test_a_malformed_file_is_named_with_the_line(tmp_path, text, message):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(BadInput, match=message) as error:
        scored(path)
    assert str(path) in str(error.value)


def test_labels_in_another_order_are_noticed(predictions, simulated, record):
    lines = predictions.read_text().splitlines()
    cells = lines[1].split(",")
    at = lines[0].split(",").index("y_true")
    cells[at] = str((int(cells[at]) + 1) % 7)
    predictions.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]))
    with pytest.raises(BadInput, match="contradicts the manifest"):
        scored(predictions, simulated)


def test_the_command_prints_the_table_and_json(predictions, simulated, capsys):
    command = ["score", "--task", "sprsound.events7", str(predictions), "--root", str(simulated)]
    assert main(command) == 0
    assert "SPRSound Score" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert records.json.loads(capsys.readouterr().out)["scores"]["inter"]
