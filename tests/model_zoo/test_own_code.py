"""Models that bring code of their own: it runs where the user names its revision, and never else."""

import hashlib
import json
import subprocess
import sys
from functools import partial

import cloudpickle
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.base import registry
from bench.base.errors import BadInput, CheckpointError
from bench.base.optional_imports import import_torchaudio
from bench.encoders.batches import embed
from bench.encoders.check import check_registered
from bench.encoders.contract import check_encoder
from bench.encoders.load import load_encoder
from bench.encoders.weights.code import CodeNotTrusted, folder_revision
from bench.runs.choices import EncoderChoice
from own_code import write_model
from webserver import serving

OTHER = "0123456789abcdef" * 2 + "01234567"


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    """Where transformers copies modules that it is allowed to run; those of other tests are forgotten."""
    import_torchaudio()
    import transformers.dynamic_module_utils as dynamic

    monkeypatch.setattr(dynamic, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers_modules"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "ran"


@pytest.fixture
def folder(tmp_path, marker):
    return write_model(tmp_path / "breath", marker)


def wave(n=8000):
    return (0.1 * np.random.default_rng(0).standard_normal(n)).astype(np.float32)


def test_nothing_runs_unasked_and_the_error_says_what_to_do(folder, marker):
    revision = folder_revision(folder)
    said = rf"(?s)breath'.*modeling_breath\.py.*whatever you can.*{folder}.*--trust-remote-code {revision}"
    for load in (load_encoder, check_registered):
        with pytest.raises(CodeNotTrusted, match=said):
            load(f"hf.{folder}")
    with pytest.raises(CodeNotTrusted, match=said):
        load_encoder(f"random.hf.{folder}")
    with pytest.raises(CodeNotTrusted):
        load_encoder(f"hf.{folder}", trust_remote_code=OTHER)
    with pytest.raises(CodeNotTrusted):
        load_encoder(f"hf.{folder}", folder / "model.safetensors")
    assert registry.encoder_card(f"hf.{folder}").code == ""  # whoever reads records needs no permission
    assert not marker.exists()


@pytest.mark.parametrize("named", ["main", "v1.0", "0123456", OTHER[:39], OTHER.upper(), "", f"{OTHER}0", f" {OTHER}"])
def test_what_is_no_full_commit_hash_is_refused(folder, marker, named):
    with pytest.raises(BadInput, match="no full commit hash"):
        load_encoder(f"hf.{folder}", trust_remote_code=named)
    assert not marker.exists()


def test_trusted_code_runs_and_keeps_the_contract(folder, marker):
    revision = folder_revision(folder)
    encoder = load_encoder(f"hf.{folder}", trust_remote_code=revision)
    assert marker.read_text() == "ran\n"
    assert encoder.card.code == revision and f"revision {revision}" in encoder.card.notes
    assert encoder.card.dims["mean"] == 8 and encoder.card.grid == (0.02, 1) and check_encoder(encoder) == []
    twin = load_encoder(f"random.hf.{folder}", trust_remote_code=[OTHER, revision])
    assert twin.card.code == revision
    assert not np.allclose(embed(twin, [wave()]), embed(encoder, [wave()]))


def test_changed_code_is_another_revision(folder, marker):
    revision, settings = folder_revision(folder), registry.encoder_card(f"hf.{folder}").settings
    (folder / ".cache" / "huggingface").mkdir(parents=True)
    (folder / ".cache" / "huggingface" / "fetched").write_text("on a day")
    save_file({"frames.weight": torch.zeros(1)}, folder / "model.safetensors")
    assert folder_revision(folder) == revision  # the tensors have a digest of their own
    for change in (
        lambda: (folder / "later.py").write_text(""),
        lambda: (folder / "later.py").rename(folder / "l.py"),
        lambda: (folder / "fast.so").write_bytes(b"ELF"),
        lambda: (folder / "mean.npy").write_bytes(b"0"),
        lambda: (folder / "elsewhere").symlink_to(_other(folder)),
        lambda: (_other(folder) / "below.txt").write_text("changed"),
    ):
        change()
        assert folder_revision(folder) != revision
        with pytest.raises(CodeNotTrusted, match=f"{revision}, which you trust, is not its revision"):
            load_encoder(f"hf.{folder}", trust_remote_code=revision)
    assert registry.encoder_card(f"hf.{folder}").settings == settings
    assert not marker.exists()


def _other(folder):
    """A folder beside it, with a file, that a link may lead to."""
    (other := folder.parent / "other").mkdir(exist_ok=True)
    (other / "back").exists() or (other / "back").symlink_to(folder)  # in a circle
    return other


def test_what_is_called_safetensors_and_is_none_counts_as_code(folder):
    revision = folder_revision(folder)
    (folder / "model.safetensors").write_text("print('a program')")
    changed = folder_revision(folder)
    (folder / "model.safetensors").write_text("print('another')")
    assert len({revision, changed, folder_revision(folder)}) == 3


def test_workers_get_the_classes_from_the_process_that_loaded_them(folder, marker, tmp_path):
    encoder = load_encoder(f"hf.{folder}", trust_remote_code=folder_revision(folder))
    (tmp_path / "encoder").write_bytes(cloudpickle.dumps(encoder))
    for path in (*folder.glob("*.py"), *(tmp_path / "modules").rglob("*.py")):
        path.unlink()
    worker = "import sys, bench.base.optional_imports as o; o.import_torchaudio(); import cloudpickle, numpy, torch\n"
    worker += "encoder = cloudpickle.load(open(sys.argv[1], 'rb'))\n"
    worker += "print(float(encoder(torch.ones(1, 8000), torch.tensor([8000])).layers[-1].hidden.sum()))"
    told = subprocess.run(
        [sys.executable, "-c", worker, str(tmp_path / "encoder")], check=True, capture_output=True, text=True
    )
    with torch.no_grad():
        here = encoder(torch.ones(1, 8000), torch.tensor([8000])).layers[-1].hidden.sum()
    assert float(told.stdout) == pytest.approx(float(here), rel=1e-4)
    assert marker.read_text() == "ran\n"


def _as_the_hubs_client_stores(snapshot):
    """Puts links in the place of files, to ``blobs`` that are named by their content."""
    (blobs := snapshot.parent.parent / "blobs").mkdir(exist_ok=True)
    for path in list(snapshot.iterdir()):
        content = path.read_bytes()
        name = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        if path.suffix == ".safetensors":  # as git LFS names them
            name = hashlib.sha256(content).hexdigest()
        path.rename(blobs / name)
        path.symlink_to(f"../../blobs/{name}")
    return snapshot


@pytest.fixture
def hub(tmp_path, marker, monkeypatch):
    """{commit: snapshot} of a model in the Hub's cache, main being the second; the Hub itself is never asked."""
    import huggingface_hub

    cached = partial(huggingface_hub.try_to_load_from_cache, cache_dir=tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    repository = tmp_path / "hub" / "models--org--breath"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(OTHER)
    with serving() as web:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", web.address)
        yield {
            commit: _as_the_hubs_client_stores(write_model(repository / "snapshots" / commit, marker, answer))
            for commit, answer in (("a" * 40, "BaseModelOutput(tokens + 1)"), (OTHER, "BaseModelOutput(tokens)"))
        }
        assert not web.asked


def test_of_a_hub_id_the_snapshot_of_the_trusted_commit_is_taken(hub, marker):
    with pytest.raises(CodeNotTrusted, match=f"--trust-remote-code {OTHER}"):
        load_encoder("hf.org/breath")
    with pytest.raises(CodeNotTrusted, match="is not its revision"):
        load_encoder("hf.org/breath", trust_remote_code=folder_revision(hub[OTHER]))  # a snapshot goes by its commit
    assert not marker.exists()
    vectors = {}
    for commit in hub:
        encoder = load_encoder("hf.org/breath", trust_remote_code=commit)
        assert encoder.card.code == commit and encoder.card.id == "hf.org/breath"
        vectors[commit] = embed(encoder, [wave()])
    np.testing.assert_allclose(vectors["a" * 40], vectors[OTHER] + 1, rtol=1e-4)


@pytest.mark.parametrize("change", ["edited in place", "link replaced", "file added", "library added"])
def test_a_snapshot_that_was_changed_does_not_go_by_its_commit(hub, marker, change):
    code = hub[OTHER] / "modeling_breath.py"
    if change == "edited in place":
        code.resolve().write_text(code.read_text() + "# edited\n")
    elif change == "link replaced":
        text = code.read_text()
        code.unlink()
        code.write_text(text + "# edited\n")
    else:
        (hub[OTHER] / ("more.py" if change == "file added" else "more.so")).write_text("")
    with pytest.raises(
        CodeNotTrusted, match=f"not as they were fetched for commit {OTHER}.*{folder_revision(code.parent)}"
    ):
        load_encoder("hf.org/breath", trust_remote_code=OTHER)
    assert not marker.exists()


def test_a_folder_that_looks_like_a_snapshot_does_not_go_by_its_name(tmp_path, hub, marker):
    shaped = tmp_path / "mine" / "models--org--breath" / "snapshots"
    for name in (OTHER, "z" * 40):
        place = _as_the_hubs_client_stores(write_model(shaped / name, marker))
        with pytest.raises(CodeNotTrusted, match=f"--trust-remote-code {folder_revision(place)}"):
            load_encoder(f"hf.{place}", trust_remote_code=OTHER)
    assert not marker.exists()


def test_code_of_another_repository_is_refused(folder, marker):
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"]["AutoModel"] = "org/other--modeling_breath.BreathModel"
    (folder / "config.json").write_text(json.dumps(config))
    for trusted in (None, folder_revision(folder)):
        with pytest.raises(CheckpointError, match=r"code is in another repository \(org/other--"):
            load_encoder(f"hf.{folder}", trust_remote_code=trusted)
    assert not marker.exists()


def test_a_model_that_the_library_knows_runs_its_own_code_only_where_that_is_trusted(tmp_path, marker):
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    speech = sizes | {"conv_dim": [8] * 7, "num_conv_pos_embedding_groups": 4}
    known = tmp_path / "known"
    transformers.HubertModel(transformers.HubertConfig(**speech)).save_pretrained(known)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(known)
    config = json.loads((known / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "own.Own"}
    (known / "config.json").write_text(json.dumps(config))
    own = "from transformers import HubertModel\n\nclass Own(HubertModel):\n    pass\n"
    (known / "own.py").write_text(f"open({str(marker)!r}, 'w').close()\n{own}")
    plain = load_encoder(f"hf.{known}")
    assert plain.card.code == "" and not marker.exists()
    assert load_encoder(f"hf.{known}", trust_remote_code=folder_revision(known)).card.code == folder_revision(known)
    assert marker.exists()


def test_a_model_that_nobody_knows_is_told_from_one_with_code(folder, marker):
    config = json.loads((folder / "config.json").read_text())
    del config["auto_map"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="'breath' is none of the installed transformers' own, and no code comes"):
        load_encoder(f"hf.{folder}", trust_remote_code=folder_revision(folder))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("(tokens, None)", None),
        ("[tokens]", None),
        ("tokens", None),
        ("BaseModelOutput(tokens, hidden_states=(tokens, tokens[:, ::2]))", None),
        ("tokens.mean(1)", r"tokens \(1, 8\), not \(clips, time, features\)"),
        ("{'embedding': tokens}", "answers with embedding, neither last_hidden_state nor hidden_states"),
        ("None", "answers with a NoneType, neither"),
        ("tokens.nonsense", r"its own code cannot run it as an audio encoder \(AttributeError"),
        ("__import__('no_such_package')", r"its own code cannot run it .*no_such_package"),
    ],
)
def test_answers_of_other_kinds_are_taken_or_refused_with_the_reason(tmp_path, marker, answer, said):
    folder = write_model(tmp_path / "odd", marker, answer)
    trusted = folder_revision(folder)
    if said is None:
        encoder = load_encoder(f"hf.{folder}", trust_remote_code=trusted)
        assert check_encoder(encoder) == []
        return
    with pytest.raises(BadInput, match=said):
        load_encoder(f"hf.{folder}", trust_remote_code=trusted)


def test_a_checkpoint_of_ones_own_runs_in_the_code_of_its_origin(folder, marker, tmp_path):
    revision = folder_revision(folder)
    tensors = load_file(folder / "model.safetensors")
    torch.save({"state_dict": {f"model.{name}": 2 * tensor for name, tensor in tensors.items()}}, tmp_path / "own.ckpt")
    choice = EncoderChoice.parse(f"hf.{folder}={tmp_path / 'own.ckpt'}", (), (revision,))
    own, parent = choice.load(), load_encoder(f"hf.{folder}", trust_remote_code=revision)
    assert own.card.code == revision and own.weights_digest != parent.weights_digest
    assert not np.allclose(embed(own, [wave()]), embed(parent, [wave()]))
    other = write_model(tmp_path / "other", tmp_path / "other ran")
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    load_encoder(f"hf.{folder}", other, trust_remote_code=revision)  # its tensors alone
    assert not (tmp_path / "other ran").exists()
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"hidden_size": 4}))
    with pytest.raises(CheckpointError, match="has other settings than"):
        load_encoder(f"hf.{folder}", other, trust_remote_code=revision)
    assert not (tmp_path / "other ran").exists()
