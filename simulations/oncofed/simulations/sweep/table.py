"""What did each run of a sweep give, and what do the seeds give together?

The table has one row a run; the summary one row a setting, with mean and standard deviation over its seeds. Values that
are unknown are NaN; a run that failed has its reason in `error` and counts in `failed`, in no mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from oncofed.protocol.plan import PrivacyMode
from oncofed.simulations.sweep.grid import SweepRun

MEASURES = (
    "c_index",
    "c_index_within_type",
    "uno_c_index",
    "integrated_brier",
    "calibration_slope",
    "expected_to_observed",
)
COMPARISONS = ("pooled_ridge_cox", "pooled_ridge_cox_within_type", "local_only_mean")
_NUMBERS = (*MEASURES, "c_index_low", "c_index_high", *COMPARISONS, "epsilon", "delta", "seconds", "seconds_per_round")

Json = Mapping[str, Any]


def table_of_runs(
    runs: Sequence[SweepRun],
    *,
    metrics: Mapping[str, Json | None],
    baselines: Mapping[str, Json | None],
    errors: Mapping[str, str],
) -> pd.DataFrame:
    """One row a run, in the grid's order.

    metrics    each run's metrics.json by its name; None where there is none.
    baselines  by `SweepRun.comparison`.
    errors     by the run's name.

    Columns: run, strategy, mode, privacy, each varied key, seed; noise (who adds it); test figures; epsilon (spent,
    the largest over sites) and delta; sites, rounds, seconds (since the run's last start); baselines; error (empty
    where there is none).
    """
    rows = [
        _settings(run)
        | _figures(metrics[run.name])
        | _comparison(baselines[run.comparison])
        | _error(run, metrics, errors)
        for run in runs
    ]
    table = pd.DataFrame(rows)
    return table.astype(dict.fromkeys(_NUMBERS, "float64") | {"sites": "Int64", "rounds": "Int64"})


def _settings(run: SweepRun) -> dict[str, Any]:
    training = run.study.training
    return {
        "run": run.name,
        "strategy": training.strategy.value,
        "mode": training.mode.value,
        "privacy": run.privacy,
        **dict(run.varied),
        "seed": run.study.seed,
        "noise": _noise(run),
    }


def _noise(run: SweepRun) -> str:
    """Who adds it, for the picture of C-index against epsilon."""
    privacy = run.study.privacy
    if privacy.mode is not PrivacyMode.DISTRIBUTED:
        return privacy.mode.value
    return f"{privacy.mode.value}, {privacy.dropouts} absent and {privacy.colluding} colluding"


def _figures(found: Json | None) -> dict[str, Any]:
    test: Json = {} if found is None else found["test"]
    privacy: Json = {} if found is None else found["privacy"]
    seconds: Json = {} if found is None else found["seconds"]
    low, high = test.get("c_index_ci95", (None, None))
    return {
        "c_index": test.get("c_index"),
        "c_index_low": low,
        "c_index_high": high,
        **{name: test.get(name) for name in MEASURES[1:]},
        "epsilon": privacy.get("epsilon"),
        "delta": privacy.get("delta") if privacy.get("epsilon") is not None else None,
        "sites": None if found is None else found["sites"],
        "rounds": None if found is None else found["rounds"],
        "seconds": seconds.get("total"),
        "seconds_per_round": seconds.get("per_round"),
    }


def _comparison(found: Json | None) -> dict[str, Any]:
    return {name: None if found is None else found[name] for name in COMPARISONS}


def _error(run: SweepRun, metrics: Mapping[str, Json | None], errors: Mapping[str, str]) -> dict[str, Any]:
    return {"error": errors.get(run.name, "" if metrics[run.name] is not None else "not finished")}


def setting_columns(table: pd.DataFrame) -> list[str]:
    """The columns that say how a run was set, its seed and name aside."""
    columns = list(table.columns)
    return columns[columns.index("strategy") : columns.index("seed")]


def summary_of(table: pd.DataFrame) -> pd.DataFrame:
    """One row a setting, in order of appearance: runs, failed, undefined (finished, but no two test patients can be
    compared, so that a mean over the C-index leaves them out), then NAME_mean and NAME_sd over seeds of each measure,
    epsilon (largest), seconds (mean), and the means of the baselines. The standard deviation of one run is NaN.
    """
    settings = setting_columns(table)
    rows = []
    for values, group in table.groupby(settings, sort=False, dropna=False):
        row: dict[str, Any] = dict(zip(settings, values, strict=True))
        finished = group[(group["error"] == "") | group["c_index"].notna()]
        row |= {"runs": len(finished), "failed": len(group) - len(finished)}
        row |= {"undefined": int(finished["c_index"].isna().sum())}
        for measure in MEASURES:
            row[f"{measure}_mean"] = finished[measure].mean()
            row[f"{measure}_sd"] = finished[measure].std(ddof=1)
        row |= {"epsilon": finished["epsilon"].max(), "seconds_mean": finished["seconds"].mean()}
        row |= {f"{name}_mean": finished[name].mean() for name in COMPARISONS}
        rows.append(row)
    return pd.DataFrame(rows)


def summary_lines(summary: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Heading and cells for reading: `0.712 ± 0.006`, a dash where nothing is known, no column that tells nothing."""
    measures = {
        "C-index": "c_index",
        "within type": "c_index_within_type",
        "Uno's C": "uno_c_index",
        "Brier": "integrated_brier",
    }
    shown = {title: name for title, name in measures.items() if summary[f"{name}_mean"].notna().any()}
    beside = {
        title: name
        for title, name in {"pooled": "pooled_ridge_cox", "alone": "local_only_mean"}.items()
        if summary[f"{name}_mean"].notna().any()
    }
    settings = list(summary.columns[: list(summary.columns).index("runs")])
    if summary.groupby("strategy")["mode"].nunique().eq(1).all():
        settings.remove("mode")
    heading = [*settings, "runs", *shown, "spent", "seconds", *beside]
    lines = []
    for row in summary.to_dict("records"):
        beside_them = [f"{row[what]} {what}" for what in ("failed", "undefined") if row[what]]
        runs = f"{row['runs']}" + (f" ({', '.join(beside_them)})" if beside_them else "")
        figures = [_mean_and_sd(row[f"{name}_mean"], row[f"{name}_sd"]) for name in shown.values()]
        spent = [_number(row["epsilon"], 2), _number(row["seconds_mean"], 0)]
        others = [_number(row[f"{name}_mean"], 3) for name in beside.values()]
        lines.append([*(str(row[name]) for name in settings), runs, *figures, *spent, *others])
    return heading, lines


def summary_markdown(summary: pd.DataFrame) -> str:
    """The same as a Markdown table."""
    heading, lines = summary_lines(summary)
    written = ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in [heading, *lines]]
    return "\n".join([written[0], "|" + "---|" * len(heading), *written[1:]]) + "\n"


def _mean_and_sd(mean: float, deviation: float) -> str:
    return _number(mean, 3) if pd.isna(deviation) else f"{mean:.3f} ± {deviation:.3f}"


def _number(value: float, digits: int) -> str:
    return "-" if pd.isna(value) else f"{value:.{digits}f}"
