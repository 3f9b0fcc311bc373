"""`python -m spacy crfner pretrain-transformer`: parse, call, print."""

import math
from pathlib import Path
from typing import Annotated, Any, Dict, List, Optional

from typer import Argument, Option
from wasabi import msg

from . import crfner
from .messages import clear_errors, say


@crfner.command("pretrain-transformer")
def pretrain_transformer_cli(
    output: Annotated[Path, Argument(help="Folder for the model; a training that was stopped goes on there")],
    text: Annotated[
        List[Path], Option(help="Text to learn from: a text a line, .jsonl, or .spacy; .gz too; repeatable")
    ],
    model: Annotated[
        Optional[str], Option(metavar="DIR|NAME", help="Transformer to begin with: a folder, or a name on the hub")
    ] = None,
    from_scratch: Annotated[
        bool, Option("--from-scratch", help="Begin with random weights and a tokenizer trained on the text")
    ] = False,
    layers: Annotated[Optional[int], Option(help="From scratch: layers (default: 4)")] = None,
    size: Annotated[Optional[int], Option(help="From scratch: width of the layers (default: 256)")] = None,
    heads: Annotated[Optional[int], Option(help="From scratch: attention heads of a layer (default: 4)")] = None,
    vocab: Annotated[Optional[int], Option(help="From scratch: pieces of words (default: 8000)")] = None,
    dev_text: Annotated[Optional[List[Path]], Option(help="Text to evaluate on; repeatable")] = None,
    dev_share: Annotated[float, Option(help="Without --dev-text: share of the text to evaluate on")] = 0.02,
    dev_pieces: Annotated[int, Option(help="Most pieces to evaluate on")] = 50000,
    block: Annotated[int, Option(help="Pieces that are read at once")] = 128,
    masked: Annotated[float, Option(help="Share of the pieces that are masked")] = 0.15,
    whole_word: Annotated[bool, Option(help="Mask all pieces of a word, or none")] = True,
    dropout: Annotated[bool, Option(help="Apply the model's own dropout; without, updates are faster")] = True,
    learn_rate: Annotated[
        Optional[float], Option(help="Highest learning rate of AdamW (default: 1e-4; from scratch 1e-3)")
    ] = None,
    warmup: Annotated[
        Optional[int], Option(help="Updates until that rate; then it falls, to 0 with the last (default: a tenth)")
    ] = None,
    batch_pieces: Annotated[int, Option(help="Pieces of a batch")] = 4096,
    max_updates: Annotated[int, Option(help="Most updates")] = 10000,
    eval_every: Annotated[int, Option(help="Updates between evaluations")] = 500,
    patience: Annotated[int, Option(help="Evaluations without a lower loss on dev before it ends")] = 5,
    mixed_precision: Annotated[bool, Option(help="Multiply in 16 bits where the device does so fast")] = True,
    seed: Annotated[int, Option(help="Seed of all that is random")] = 0,
    overwrite: Annotated[bool, Option(help="Start anew where the folder holds another or a damaged training")] = False,
    gpu_id: Annotated[int, Option("--gpu-id", "-g", help="GPU to use, or -1 for the CPU")] = -1,
) -> None:
    """Train a transformer further on raw text, to find masked words again.

    The folder can be named in `spacy_crfner.Transformer.v1` as soon as there has been one evaluation. Needs
    transformers: pip install 'spacy-crfner[transformers]'.
    """
    # Not above: the command line of spaCy would import torch whatever it is asked.
    from spacy.cli._util import setup_gpu

    from ..model_folders import CONFIG
    from ..training_loop import check_folder
    from ..transfer.from_scratch import Sizes, new_masked_model
    from ..transfer.masked_model import read_masked_model
    from ..transfer.model_files import WEIGHTS
    from ..transfer.pretraining import PretrainingSettings, TransformerPretraining
    from ..transfer.texts import RawText

    with clear_errors():
        if from_scratch == (model is not None):
            raise ValueError("Begin with what? Name a transformer (--model), or give --from-scratch, not both.")
        if model is not None and output.resolve() == Path(model).resolve():
            raise ValueError(f"{output}: this is the model to begin with: choose another folder.")
        if learn_rate is None:
            learn_rate = 1e-3 if from_scratch else 1e-4
        settings = PretrainingSettings(
            learn_rate=learn_rate,
            warmup=max(1, max_updates // 10) if warmup is None else warmup,
            max_updates=max_updates,
            eval_every=eval_every,
            patience=patience,
            seed=seed,
            block=block,
            masked=masked,
            whole_words=whole_word,
            batch_pieces=batch_pieces,
            dev_pieces=dev_pieces,
            dropout=dropout,
            mixed_precision=mixed_precision,
        )
        if settings.warmup > max_updates:
            raise ValueError(
                f"--warmup {warmup} never ends in {max_updates} updates (--max-updates): give a smaller one."
            )
        given = {"layers": layers, "width": size, "heads": heads, "vocab": vocab}
        sizes = Sizes(**{name: value for name, value in given.items() if value is not None})
        if model is not None and any(value is not None for value in given.values()):
            raise ValueError(f"--layers, --size, --heads and --vocab belong to --from-scratch: {model} has its own.")
        check_folder(output, (CONFIG, WEIGHTS), overwrite)
        raw = RawText(text, dev_text or (), dev_share)
        if {path.resolve() for path in text} & {path.resolve() for path in dev_text or ()}:
            msg.warn("A file is given to learn from and to evaluate on: perplexity will fall whatever is learned")
        setup_gpu(gpu_id, silent=gpu_id < 0)
        if model is None:
            begin = new_masked_model(raw.to_learn_from(), sizes, block, seed)
        else:
            begin = read_masked_model(model, seed)
        if begin.new_head:
            msg.info(f"{model} has no head that finds masked pieces: it gets a new one, with random weights")
        training = TransformerPretraining(output, begin, raw, settings, Printer(batch_pieces), say, overwrite)
        learned, evaluated = training.n_pieces
        msg.info(f"{learned:,} pieces to learn from, {evaluated:,} to evaluate on")
        passes = max_updates * batch_pieces / learned
        msg.info(f"At most {max_updates:,} updates of {batch_pieces:,} pieces: the text {passes:,.1f} times")
        if training.resumes:
            other = "starts anew" if overwrite else "stops"
            msg.info(f"There is a training in {output}: it goes on, or {other} if settings or text differ")
        msg.info(f"Perplexity of masked pieces on dev before training: {training.start:,.2f}")
        print(HEADER, flush=True)
        progress = training.run()
    perplexity = f"perplexity {training.start:,.2f} before, {math.exp(progress.best):,.2f} after"
    msg.good(f"The model of update {progress.best_update} is in {output} ({perplexity})")


HEADER = (
    f"{'updates':>8} {'epoch':>6} {'minutes':>8} {'train loss':>11} {'dev loss':>9} {'perplexity':>11} {'pieces/s':>9}"
)


class Printer:
    """Print a line for an evaluation; a star for the best so far.

    batch_pieces: of an update.
    """

    def __init__(self, batch_pieces: int):
        self.batch_pieces = batch_pieces

    def __call__(self, found: Dict[str, Any]) -> None:
        """Print what an evaluation has found."""
        seconds = max(60 * found["minutes"], 1.0)
        print(
            f"{found['update']:>8} {found['epoch']:>6} {found['minutes']:>8.1f} {found['train_loss']:>11.3f} "
            f"{found['dev_loss']:>9.3f} {found['dev_perplexity']:>11.2f} "
            f"{found['update'] * self.batch_pieces / seconds:>9,.0f}{' *' if found['best'] else ''}",
            flush=True,
        )
