"""The numbers behind figures: who was taken for whom, and a few rows to look at."""

import numpy as np
import pandas as pd

from foldwise.data.competition import CompetitionData


def confusion(data: CompetitionData, oof: pd.DataFrame) -> pd.DataFrame:
    """How often each class was taken for each: `label, said, rows, share`, most rows first.

    said: the most probable class of the OOF predictions `id, *classes`. share: of the label's rows.
    Pairs that do not occur are left out; with many labels per image there are none.
    """
    columns = ["label", "said", "rows", "share"]
    if data.spec.multi:
        return pd.DataFrame(columns=columns)
    names = np.array(data.classes)
    said = names[oof[list(names)].to_numpy().argmax(axis=1)]
    rows = oof[["id"]].assign(said=said).merge(
        data.train.frame[["id", "label"]], on="id", validate="one_to_one"
    )  # fmt: skip
    assert len(rows) == len(oof)
    table = rows.astype({"label": str}).groupby(["label", "said"]).size().reset_index(name="rows")
    table["share"] = table["rows"] / table.groupby("label")["rows"].transform("sum")
    order = table.sort_values(["rows", "label", "said"], ascending=[False, True, True])
    return order.reset_index(drop=True)[columns]


def samples(data: CompetitionData, oof: pd.DataFrame, count: int, seed: int = 0) -> pd.DataFrame:
    """Rows drawn at random: `id, path, label, said, probability`, the same ones for a seed.

    label: with many labels per image all of them, joined by a space. said: the most probable class.
    """
    rows = oof.merge(data.train.frame[["id", "path"]], on="id", validate="one_to_one")
    rows = rows.sample(min(count, len(rows)), random_state=seed)
    probs = rows[list(data.classes)].to_numpy()
    labels = pd.Series(data.train.labels().to_numpy(), index=data.train.frame["id"])
    return pd.DataFrame({
        "id": rows["id"].to_numpy(), "path": rows["path"].to_numpy(),
        "label": labels[rows["id"]].to_numpy(),
        "said": np.array(data.classes)[probs.argmax(axis=1)], "probability": probs.max(axis=1),
    })  # fmt: skip
