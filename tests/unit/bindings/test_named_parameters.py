"""`:name` becomes `$1` where PostgreSQL would read a parameter, and nowhere else."""

import pytest

from schedule_grpc.database.postgres.named_parameters import UnknownParameter, names_of, numbered


@pytest.mark.parametrize(
    ("sql", "text", "names"),
    [
        ("SELECT :a", "SELECT $1", "a"),
        (":a, :b, :a", "$1, $2, $1", "ab"),
        ("x=:a,:b", "x=$1,$2", "ab"),
        (":a::text", "$1::text", "a"),
        ("CAST(:a AS text)::jsonb", "CAST($1 AS text)::jsonb", "a"),
        ("':a' || :b || 'it''s :a'", "':a' || $1 || 'it''s :a'", "b"),
        (r"E'it\'s :a' || :b", r"E'it\'s :a' || $1", "b"),
        (r"'\' || :b || '\'", r"'\' || $1 || '\'", "b"),
        (r"e'\\' || :b", r"e'\\' || $1", "b"),
        ('":a" || "x"":a" || :b', '":a" || "x"":a" || $1', "b"),
        ("-- :a 'x\n:b", "-- :a 'x\n$1", "b"),
        ("/* :a */ :b /* :c", "/* :a */ $1 /* :c", "b"),
        ("/* /* :a */ :a */ :b", "/* /* :a */ :a */ $1", "b"),
        ("$$ :a $$ || :b", "$$ :a $$ || $1", "b"),
        ("$t$ :a $$ :a $t$ || :b", "$t$ :a $$ :a $t$ || $1", "b"),
        ("a$b$ || :b", "a$b$ || $1", "b"),
        ("f(a := :b, c => :b)", "f(a := $1, c => $1)", "b"),
        ("x[1:2] || y[:a]", "x[1:2] || y[$1]", "a"),
        ("data @? '$.a ? (@ > :a)' AND :b", "data @? '$.a ? (@ > :a)' AND $1", "b"),
        ("SELECT 1", "SELECT 1", ""),
        ("", "", ""),
    ],
)
def test_only_parameters_are_numbered(sql: str, text: str, names: str):
    """Literals, quoted names, comments, dollar quotes, casts and assignments stay as they are."""
    values = {"a": 1, "b": 2, "c": 3}
    assert numbered(sql, values) == (text, [values[name] for name in names])
    assert names_of(sql) == tuple(names)


def test_long_and_foreign_names_are_names():
    """As Python's are."""
    assert numbered(":größe_2, :_x", {"größe_2": 1, "_x": 2}) == ("$1, $2", [1, 2])


def test_a_name_without_a_value_is_told():
    """The first that is missing; None is a value."""
    assert numbered(":a", {"a": None}) == ("$1", [None])
    with pytest.raises(UnknownParameter, match="no value was given for :b"):
        numbered(":a, :b, :c", {"a": 1})


def test_numbers_are_refused():
    """They would be mixed up with ours."""
    with pytest.raises(UnknownParameter, match=r"written :name, not \$2"):
        numbered("SELECT :a, $2", {"a": 1})
