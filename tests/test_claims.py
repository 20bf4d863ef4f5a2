"""tests/claims.yaml: every statement of the READMEs that it lists names tests that are there, or makes no claim."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from .documents import is_test, statements

DOCUMENTS = yaml.safe_load(Path(__file__).with_name("claims.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_claim_names_existing_tests(document: str) -> None:
    for claim in DOCUMENTS[document]["claims"]:
        assert claim["tests"], claim
        assert [named for named in claim["tests"] if not is_test(named)] == [], claim["text"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_excerpt_matches_one_statement(document: str) -> None:
    listed = [claim["text"] for claim in DOCUMENTS[document]["claims"]] + DOCUMENTS[document]["no claim"]
    said = statements(document)
    found = {excerpt: sum(excerpt in statement for statement in said) for excerpt in listed}
    assert {excerpt: count for excerpt, count in found.items() if count != 1} == {}
    assert [excerpt for excerpt, count in Counter(listed).items() if count > 1] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_statement_is_listed(document: str) -> None:
    """A new sentence needs a test that would fail if it were untrue, listed in claims.yaml."""
    listed = [claim["text"] for claim in DOCUMENTS[document]["claims"]] + DOCUMENTS[document]["no claim"]
    assert [said for said in statements(document) if not any(excerpt in said for excerpt in listed)] == []
