"""timm's pretrained weights as a file: from the local cache of the hub, else downloaded."""

from pathlib import Path

import timm
from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # of any major version

from foldwise.errors import WeightsError

FILE = "model.safetensors"
TIMEOUT = 10.0  # seconds to wait for the hub's first answer


def hub_file(model: str) -> Path:
    """The weights file of a timm model name; the local cache is asked before the network.

    Raises: WeightsError: timm knows no weights for it, or the hub cannot be reached; the message
            names the ways out. Random weights are never put in their place.
    """
    config = timm.get_pretrained_cfg(model)
    repository = config.hf_hub_id if config else None
    if config is None or not repository:
        raise WeightsError(
            f'timm has no pretrained weights for {model}; write weights = "none" to train from '
            "scratch, or name a weights file"
        )
    name = config.hf_hub_filename or FILE
    cached = try_to_load_from_cache(repository, name)
    if isinstance(cached, str):
        return Path(cached)
    try:
        HfApi().model_info(repository, timeout=TIMEOUT)  # fails fast; a download retries for long
        return Path(hf_hub_download(repository, name))
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"the weights of {model} are not in the local cache and the hub cannot be reached "
            f"({reason}). Ways out: 1. connect and run the same command again; 2. download {name} "
            f"of the hub's repository {repository} elsewhere and write weights = "
            f'"<path to that file>" into the recipe; 3. weights = "none" trains from scratch'
        ) from error
