"""What scikit-learn expects of any estimator: options by name, output as a data frame, tags."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hiddenstate_core.errors import InputError, MissingExtraError

__all__ = ["Estimator"]

_Self = TypeVar("_Self", bound="Estimator")


class Estimator:
    """Base of classes whose options are the parameters of ``__init__``, kept under their names."""

    embedding_: NDArray[np.float32]

    def set_output(self: _Self, *, transform: str | None = None) -> _Self:
        """Choose what `fit_transform` and `transform` return; returns itself.

        Parameters
        ----------
        transform : {"default", "pandas"} or None
            An array, or a data frame with the columns of `get_feature_names_out` and the index of a data frame given;
            None leaves it as it is.

        Raises
        ------
        InputError
            Another value.
        MissingExtraError
            pandas is wanted and not installed.
        """
        if transform not in (None, "default", "pandas"):
            raise InputError(f"transform must be 'default', 'pandas' or None, not {transform!r}.")
        if transform == "pandas":
            _pandas()
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}  # the name by which scikit-learn's clone keeps it
        return self

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the map's dimensions: tsne0, tsne1, ...

        Raises
        ------
        InputError
            `fit` has not been called.
        """
        self._check_fitted()
        return np.array([f"{type(self).__name__.lower()}{i}" for i in range(self.embedding_.shape[1])], object)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Options by name, as given."""
        return {name: getattr(self, name) for name in self._parameters()}

    def set_params(self: _Self, **params: Any) -> _Self:
        """Change options by name; returns itself.

        Raises
        ------
        InputError
            No such option.
        """
        names = self._parameters()
        for name, value in params.items():
            if name not in names:
                raise InputError(f"{type(self).__name__} has no option {name!r}; it has {', '.join(names)}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        changed = [f"{k}={v!r}" for k, v in self.get_params().items() if v is not defaults[k].default]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator; called by scikit-learn alone."""
        from sklearn.utils import Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=[]),
        )

    def _check_fitted(self) -> None:
        if not hasattr(self, "embedding_"):
            raise InputError("There is no map yet; call fit first.")

    def _output(self, places: NDArray[np.float32], X: Any) -> Any:
        """`places` as `set_output` wants them."""
        if getattr(self, "_sklearn_output_config", {}).get("transform") != "pandas":
            return places
        index = X.index if hasattr(X, "iloc") else None
        return _pandas().DataFrame(places, index=index, columns=self.get_feature_names_out())

    @classmethod
    def _parameters(cls) -> tuple[str, ...]:
        return tuple(inspect.signature(cls).parameters)


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise MissingExtraError("set_output(transform='pandas') needs pandas; install it.") from error
