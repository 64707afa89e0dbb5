"""One module a part of the doctor's case: ``judge(case) -> Part``. Pure."""
