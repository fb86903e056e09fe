"""Device and mixed precision: resolved once, then used by training and prediction alike."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from fastai.callback.core import Callback, CancelStepException
from torch.amp import GradScaler

from foldwise.errors import RunError

CPU = torch.device("cpu")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def device() -> torch.device:
    """The device to train on: CUDA where there is such a GPU, else Apple's (MPS), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def resolve(wanted: str, on: torch.device) -> str:
    """fp32, bf16 or fp16: what `auto` becomes on a device; anything else stays.

    bf16 where the hardware computes with it (a GPU's emulation does not count), fp16 on other
    CUDA devices, fp32 on Apple's GPUs and other CPUs.
    """
    if wanted != "auto":
        return wanted
    if on.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if on.type == "cpu" and _cpu_has_bf16() else "fp32"


def in_float64(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in float64; on the CPU where it is on Apple's GPU, which has no such numbers."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def send(tensor: torch.Tensor, on: torch.device) -> torch.Tensor:
    """The tensor on a device; from pinned memory to a GPU, so that nobody waits for it."""
    if on.type != "cuda":
        return tensor.to(on)
    return tensor.pin_memory().to(on, non_blocking=True)


@contextmanager
def determinism(wanted: bool) -> Iterator[None]:
    """Only deterministic CUDA kernels within the block, where they are wanted.

    A CPU needs no such mode: the same number of threads gives the same bytes.
    Raises: RunError: the model needs a kernel that has no deterministic form.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        raise RunError(
            f"deterministic = true needs operations that give the same bytes each time, and "
            f"{str(error).split()[0]} has no such form on a GPU; train with --set "
            "deterministic=false (which is another run), or take another model or head"
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def autocast(precision: str, on: torch.device) -> torch.autocast:
    """The autocast context of a precision; it does nothing for fp32."""
    return torch.autocast(on.type, dtype=DTYPES[precision], enabled=precision != "fp32")


class Autocast(Callback):
    """Mixed precision on any device: bf16 by autocast alone, fp16 with a gradient scaler.

    fastai's own MixedPrecision is for CUDA only.
    """

    order = 10  # after the batch is on the device, before schedules

    def __init__(self, precision: str, on: torch.device) -> None:
        self.precision, self.on = precision, on
        self.scaler = GradScaler(on.type, enabled=precision == "fp16")

    def before_batch(self) -> None:
        """Enter autocast for the forward pass."""
        self.context = autocast(self.precision, self.on)
        self.context.__enter__()

    def after_pred(self) -> None:
        """Leave autocast; the loss is computed in fp32."""
        self.context.__exit__(None, None, None)
        self.learn.pred = self.learn.pred.float()

    def before_backward(self) -> None:
        """Scale the loss; a no-op without fp16."""
        self.learn.loss_grad = self.scaler.scale(self.loss_grad)

    def before_step(self) -> None:
        """Unscale; skip the step where a gradient overflowed."""
        if self.scaler.is_enabled():
            self.skipped = True
            self.scaler.step(self)
            self.scaler.update()
            if self.skipped:
                raise CancelStepException

    @property
    def param_groups(self) -> list[dict[str, object]]:
        """The parameters, as the scaler expects them of an optimizer."""
        groups: list[dict[str, object]] = self.learn.opt.param_groups
        return groups

    def step(self) -> None:
        """Called by the scaler only where all gradients are finite."""
        self.skipped = False


@contextmanager
def compile_errors() -> Iterator[None]:
    """Turn torch.compile's errors into one line. Raises: RunError: it cannot compile the model."""
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as error:
        raise RunError(
            f"torch.compile fails here ({first_line(error)}); train with --set compile=false "
            "(which is another run), or install what it lacks, a C++ compiler for instance"
        ) from error


def first_line(error: Exception) -> str:
    """An error's type and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


class Compiled(Callback):
    """Training batches go through torch.compile's model, everything else through the plain one.

    Training batches are all of one size; the others are not, and each new size would be compiled.
    """

    order = 10

    def before_fit(self) -> None:
        """Wrap the model; it is compiled at its first batch."""
        self.plain = self.model
        self.fast = torch.compile(self.model, dynamic=False)

    def before_batch(self) -> None:
        """Put the compiled model in the plain one's place."""
        if self.training:
            self.learn.model = self.fast

    def after_pred(self) -> None:
        """Put the plain model back."""
        self.learn.model = self.plain


def _cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 (AMX or AVX512-BF16, or Arm's equivalent)."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    if ask is None:
        return bool(torch.cpu._is_avx512_bf16_supported())
    found = ask()
    return any(bool(found.get(key)) for key in ("amx_bf16", "avx512_bf16", "bf16", "arm_bf16"))
