"""For notebooks: a fold's Learner before it is trained, and fastai's interpretation of OOF."""

import pandas as pd
import torch
from fastai.callback.progress import ProgressCallback
from fastai.data.core import TfmdDL
from fastai.interpret import ClassificationInterpretation, Interpretation
from fastai.learner import Learner
from fastai.torch_core import TensorBase
from torch import nn

from foldwise.training.fitting.criterion import loss_of
from foldwise.training.fitting.fold import FoldInputs
from foldwise.training.fitting.networks import trainable_of
from foldwise.training.fitting.streams import seed_block
from foldwise.training.loading.batches import labels_of
from foldwise.training.speed.memory import keep_freed_memory


def untrained_learner(inputs: FoldInputs, number: int = 0) -> Learner:
    """A fastai Learner where a stage of a fold would begin, had there been none before it.

    Model, first weights, loss, optimizer, layer groups and precision are those of training;
    schedule and epochs are the caller's, and nothing is written.
    """
    keep_freed_memory()
    with seed_block(inputs.seed, inputs.fold, "init"):
        trainable = trainable_of(inputs, inputs.preprocessing)
    learner = trainable.stage_learner(number)
    learner.add_cb(ProgressCallback())
    return learner


class KnownPredictions(Learner):
    """A Learner that gives known predictions instead of its model's."""

    def know(self, oof: pd.DataFrame) -> "KnownPredictions":
        """Take predictions `id, *classes`."""
        self.oof = oof.set_index("id")
        return self

    def get_preds(
        self,
        ds_idx: int = 1,
        dl: TfmdDL | None = None,
        with_input: bool = False,
        with_decoded: bool = False,
        **others: object,
    ) -> tuple[torch.Tensor, ...]:
        """Inputs if asked for, predictions, targets, and if asked for what these say."""
        dl = self.dls[ds_idx] if dl is None else dl
        targets, kind = labels_of(dl.items, dl.vocab)
        probs = TensorBase(self.oof.loc[dl.items["id"]].to_numpy(copy=True))
        given = [torch.cat([batch[0] for batch in dl])] if with_input else []
        said = [self.loss_func.decodes(probs).as_subclass(kind)] if with_decoded else []
        return *given, probs, targets.as_subclass(kind), *said


def interpretation(inputs: FoldInputs, oof: pd.DataFrame) -> Interpretation:
    """fastai's interpretation of out-of-fold predictions `id, *classes`, on these rows.

    A ClassificationInterpretation; with many labels per image, of which that knows nothing, an
    Interpretation. Losses are the log loss of a row, in nats; with many labels that of its worst
    cell.
    """
    train, recipe = inputs.train, inputs.recipe
    about = inputs.preprocessing
    rows = train.where(train.frame["id"].isin(oof["id"]).to_numpy())
    dls = inputs.loaders()
    learner = KnownPredictions(dls, nn.Identity(), loss_func=loss_of(recipe, about.meaning)).know(
        oof
    )
    probs = learner.oof.loc[rows.frame["id"]].to_numpy()
    losses = TensorBase(train.task.losses(rows.targets, probs))
    kind = ClassificationInterpretation if train.task.sums_to_one else Interpretation
    return kind(learner, dls.test_dl(rows.frame, with_labels=True), losses)
