"""The controller: proposes formulas, learns from their rewards, keeps the run in the store.

A search with children trained by whatever fits the `Evaluator` port::

    from actsearch_controller.search import search
    search(RunConfig(evaluations=60), evaluator, store=Store.open("first.sqlite"), run="first")

or step by step, with jobs trained in any way and order::

    from actsearch_controller.search import Search
    run = Search(store, "first")
    jobs = run.ask()
    run.tell(evaluations)

Importing this package, or its tables of names (`actsearch_controller.controllers`), does not import torch.
"""
