"""Does a policy file say exactly what is allowed, and is every doubt about it a fault?"""

from __future__ import annotations

from pathlib import Path

import pytest

from oncofed.client.guard.policy_file import read_policy
from oncofed.client.patients.sources import SourceKind, SourceSpec, read_source
from oncofed.client.records.source_memory import table_hash
from oncofed.errors import InvalidInput
from oncofed.privacy.policy import SitePolicy

HASH = "ab" * 32
WHOLE = f"""
[node]
smallest_cohort = 50
largest_parameters = 100_000
allowed_plans = ["{HASH}"]

[[source]]
name = "tumour-registry"
kind = "parquet"
path = "/srv/oncofed/registry.parquet"
largest_epsilon = 3.0
delta = 1e-5
smallest_noise_multiplier = 5.0

[[source]]
name = "trial_7"
kind = "sql"
statement = "SELECT * FROM patients"
url_file = "/etc/oncofed/guard/database"
largest_epsilon = 1.0
delta = 1e-6
smallest_noise_multiplier = 10
allow_no_privacy = true
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    policy = read_policy(written(tmp_path, WHOLE))
    assert (policy.smallest_cohort, policy.largest_parameters, policy.allowed_plans) == (50, 100_000, (HASH,))
    registry, trial = policy.sources
    path = Path("/srv/oncofed/registry.parquet")
    assert registry.source == SourceSpec("tumour-registry", SourceKind.PARQUET, path=path)
    assert registry.site_policy == SitePolicy("tumour-registry", 3.0, 1e-5, 5.0, False, (HASH,), 100_000)
    assert trial.source.statement == "SELECT * FROM patients"
    assert trial.source.url_file == Path("/etc/oncofed/guard/database")
    assert trial.site_policy == SitePolicy("trial_7", 1.0, 1e-6, 10.0, True, (HASH,), 100_000)
    assert policy.source("trial_7") is trial


def test_any_plan_must_be_said_in_a_word(tmp_path: Path) -> None:
    assert read_policy(written(tmp_path, WHOLE.replace(HASH, "any"))).allowed_plans is None
    assert read_policy(written(tmp_path, WHOLE.replace(f'"{HASH}"', ""))).allowed_plans == ()


def test_another_source_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match='Did you mean "trial_7"'):
        read_policy(written(tmp_path, WHOLE)).source("trial-7")


NUMBERS = ("smallest_cohort", "largest_parameters", "allowed_plans", "largest_epsilon", "delta")


@pytest.mark.parametrize("key", [*NUMBERS, "smallest_noise_multiplier", "name", "kind", "path", "statement"])
def test_nothing_has_a_default(tmp_path: Path, key: str) -> None:
    """A limit that somebody forgot to write would be one that nobody chose."""
    lines = WHOLE.splitlines()
    index = next(number for number, line in enumerate(lines) if line.startswith(f"{key} ="))
    with pytest.raises(InvalidInput, match=f"{key}: is missing"):
        read_policy(written(tmp_path, "\n".join([*lines[:index], *lines[index + 1 :]])))


@pytest.mark.parametrize(
    ("key", "misspelt"),
    [
        ("smallest_cohort", "smallest_cohorts"),
        ("allow_no_privacy", "allow_no_privcy"),
        ("largest_epsilon", "largest_epsilom"),
        ("[node]", "[nodes]"),
        ("delta", "Delta"),
    ],
)
def test_a_misspelt_key_stops_the_node(tmp_path: Path, key: str, misspelt: str) -> None:
    with pytest.raises(InvalidInput, match="is not a known field"):
        read_policy(written(tmp_path, WHOLE.replace(key, misspelt)))


FAULTS = {
    "text for a number": ("largest_epsilon = 3.0", 'largest_epsilon = "3.0"', "not a finite number"),
    "endless epsilon": ("largest_epsilon = 3.0", "largest_epsilon = inf", "not a finite number"),
    "epsilon is not a number": ("largest_epsilon = 3.0", "largest_epsilon = nan", "not a finite number"),
    "negative epsilon": ("largest_epsilon = 3.0", "largest_epsilon = -1", "below 0"),
    "true for a number": ("largest_epsilon = 3.0", "largest_epsilon = true", "not a finite number"),
    "delta 0": ("delta = 1e-5", "delta = 0", "below 1e-9"),
    "delta 1": ("delta = 1e-5", "delta = 1.0", "above 1e-5"),
    "negative noise": ("smallest_noise_multiplier = 5.0", "smallest_noise_multiplier = -5", "below 0"),
    "a text for true": ("allow_no_privacy = true", 'allow_no_privacy = "no"', "true or false"),
    "half a patient": ("smallest_cohort = 50", "smallest_cohort = 50.5", "whole number"),
    "no patients": ("smallest_cohort = 50", "smallest_cohort = 0", "below 1"),
    "no hash": (HASH, HASH.upper(), "no plan's hash"),
    "any among hashes": (f'"{HASH}"', f'"any", "{HASH}"', "no plan's hash"),
    "two of one name": ("trial_7", "tumour-registry", "more than once"),
    "a name with a slash": ("trial_7", "../trial", "short name"),
    "another kind": ('"parquet"', '"excel"', "known values"),
    "a path from nowhere": ("/srv/", "srv/", "whole path"),
    "an address in the policy": ("url_file = ", 'url = "postgresql://u:p@h/d"\nurl_file = ', "not a known field"),
    "two addresses": ("url_file = ", 'url_variable = "X"\nurl_file = ', "one only"),
    "no address": ('url_file = "/etc/oncofed/guard/database"', "", "one only"),
    "a path for a database": ("statement = ", 'path = "/x"\nstatement = ', "not a known field"),
    "no source": (WHOLE[WHOLE.index("[[source]]") :], "", "there is none"),
    "no TOML": ("[node]", "[node", "not valid TOML"),
}


@pytest.mark.parametrize(("old", "new", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_told(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in WHOLE
    with pytest.raises(InvalidInput, match=words):
        read_policy(written(tmp_path, WHOLE.replace(old, new, 1)))


def test_all_faults_are_told_together(tmp_path: Path) -> None:
    text = WHOLE.replace("delta", "dleta").replace("smallest_cohort = 50", "")
    with pytest.raises(InvalidInput) as refusal:
        read_policy(written(tmp_path, text))
    assert len(refusal.value.faults) == 5  # two missing and two unknown deltas, and the cohort


def test_a_missing_file_allows_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        read_policy(tmp_path / "policy.toml")


@pytest.mark.parametrize("path", ["/srv/oncofed/registry.parquet", "/srv/oncofed/../oncofed/registry.parquet"])
def test_one_table_under_two_names_would_have_two_budgets(tmp_path: Path, path: str) -> None:
    second = WHOLE[WHOLE.index("[[source]]") : WHOLE.index('[[source]]\nname = "trial_7"')]
    second = second.replace("tumour-registry", "registry-again").replace("/srv/oncofed/registry.parquet", path)
    (tmp_path / "policy.toml").write_text(WHOLE + second)
    with pytest.raises(InvalidInput, match='one table twice, as "tumour-registry" and as "registry-again"'):
        read_policy(tmp_path / "policy.toml")


SAME_DATABASE = {
    "the same": ("a.url", "SELECT * FROM v"),
    "by way of another folder": ("sub/../a.url", "SELECT * FROM v"),
    "by a link": ("link.url", "SELECT * FROM v"),
    "with more blanks": ("a.url", " SELECT  *\\n FROM v "),
    "with a semicolon": ("a.url", "SELECT * FROM v ;"),
}


@pytest.mark.parametrize("spelling", SAME_DATABASE)
def test_one_database_under_two_names_would_have_two_budgets(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.url").write_text("postgresql://r:w@10.2.0.7:5432/a")
    (tmp_path / "link.url").symlink_to("a.url")
    url, statement = SAME_DATABASE[spelling]
    text = WHOLE.replace("/etc/oncofed/guard/database", f"{tmp_path}/a.url").replace("FROM patients", "FROM v")
    second = text[text.rindex("[[source]]") :].replace("trial_7", "trial_8")
    text += second.replace("a.url", url).replace("SELECT * FROM v", statement)
    with pytest.raises(InvalidInput, match='names one table twice, as "trial_7" and as "trial_8"'):
        read_policy(written(tmp_path, text))
    (tmp_path / "b.url").write_text("postgresql://r:w@10.2.0.7:5432/b")
    read_policy(written(tmp_path, text.replace("/a.url", "/b.url", 1)))


def test_a_path_that_leads_back_to_itself_is_one_fault(tmp_path: Path) -> None:
    (tmp_path / "loop.parquet").symlink_to("loop.parquet")
    policy = read_policy(written(tmp_path, WHOLE.replace("/srv/oncofed/registry", f"{tmp_path}/loop")))
    source = policy.source("tumour-registry").source
    assert len(table_hash(source)) == 64
    with pytest.raises(InvalidInput, match="is a link that leads back to itself") as caught:
        read_source(source)
    assert len(caught.value.faults) == 1


def test_zero_has_no_sign(tmp_path: Path) -> None:
    policy = read_policy(written(tmp_path, WHOLE.replace("largest_epsilon = 3.0", "largest_epsilon = -0.0")))
    assert f"{policy.source('tumour-registry').site_policy.largest_epsilon:g}" == "0"
