"""Out of domain: what is left of a score on another corpus, what target labels would buy, and which device is worst.

A transfer is a task whose family has ``reverse(id)``: it trains on one corpus and tests on another and on its own (the
tests ``source_…``). Four numbers of one encoder stand on the same target clips: the source's probe as it is
(zero-shot), probes of a few target patients (few-shot), and a probe of the target's whole training split. All are
ordinary records; the report is made from them alone.
"""
