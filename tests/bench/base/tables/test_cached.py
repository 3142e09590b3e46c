import pytest

from bench.base.errors import BadInput
from bench.base.tables.cached import CacheTable


@pytest.fixture
def table(tmp_path, monkeypatch) -> CacheTable:
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path))
    return CacheTable("table.json")


def test_what_is_put_is_read(table):
    assert table.read() == {}
    table.put("a", 1)
    table.put("b", {"of": [2]})
    assert table.read() == {"a": 1, "b": {"of": [2]}}


@pytest.mark.parametrize("content", ["{", "[]", "ÿ".encode("latin-1")])
def test_a_damaged_table_is_named_and_work_goes_on_without_it(table, content):
    table.path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BadInput, match=r"table\.json: is (damaged|not a table).*delete it"):
        table.read()
    with pytest.warns(UserWarning, match=r"'a' is not remembered: .*table\.json: is "):
        table.put("a", 1)


def test_a_table_that_cannot_be_read_is_named_and_work_goes_on_without_it(table):
    table.path.mkdir()  # which no user may read as a file
    with pytest.raises(BadInput, match=r"table\.json: cannot be read \(Is a directory\)"):
        table.read()
    with pytest.warns(UserWarning, match=r"'a' is not remembered: .*cannot be read"):
        table.put("a", 1)


def test_a_cache_that_cannot_be_written_is_named_and_work_goes_on_without_it(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RESPBENCH_CACHE", str(tmp_path / "file"))
    table = CacheTable("table.json")
    assert table.read() == {}
    with pytest.warns(UserWarning, match=r"table\.json cannot be written .*so 'a' is not remembered"):
        table.put("a", 1)
