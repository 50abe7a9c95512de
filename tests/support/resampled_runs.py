"""Short trainings on redrawn samples of a regression, which tests vary."""

from __future__ import annotations

from training_problems import Regression

from refode import training

SAMPLES = Regression().draw(400, 9)
VALIDATION = Regression().draw(300, 99)


def train(problem=None, sampler=None, **options):
    problem = problem or Regression(bend=0.3)
    options = {"n_samples": 60, "every": 6, "max_iter": 40, "progress": False, "seed": 1, **options}
    return training.train_resampled(problem, sampler or problem.draw, **options)


class Watching(list):
    """A callback that keeps copies."""

    def __call__(self, intermediate):
        self.append({**intermediate, "x": intermediate.x.copy()})
