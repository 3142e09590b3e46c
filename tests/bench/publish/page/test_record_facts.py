"""The command that a page gives for a record."""

import toy_records
from bench.publish.page.record_facts import command

REVISION = "0123456789abcdef0123456789abcdef01234567"


def told(encoder, released=(), **spec):
    task = toy_records.task_facts()
    record = toy_records.record("toy.task", encoder, task, toy_records.clips(task), **spec)
    return command(record, lambda id: set(released))


def test_code_of_a_models_own_and_a_checkpoint_are_part_of_it():
    placeholder = "=CHECKPOINT_WITH_SHA256_0123456789ab"
    assert f" --encoder toy.net:mean{placeholder} " in told("toy.net")
    assert " --encoder toy.net:mean --task" in told("toy.net", [toy_records.DIGEST])
    assert f"{placeholder} --trust-remote-code {REVISION} --task" in told("hf.org/net", code=REVISION)
    for encoder, weights in (("fbank.stats", "none"), ("opensmile.is10", "smile-3.0"), ("random.toy.net", "a" * 64)):
        assert "CHECKPOINT" not in told(encoder, weights=weights)


def test_it_is_a_command():
    import shlex

    from bench.cli.main import build_parser

    words = shlex.split(told("hf.org/net", code=REVISION))
    assert build_parser().parse_args(words[1:]).trust_remote_code == [REVISION]
