"""Read data sets, split them, and load augmented and normalized batches on the training device.

The path of an image: a source (`sources/`), the split (`split.py`), the loader (`loader.py`, `streaming.py`),
augmentation (`augment/`) and normalization (`preprocess.py`); `datamodule.py` joins them. This module imports none of
them, so that sources can be read without Lightning.
"""

__all__: list[str] = []
