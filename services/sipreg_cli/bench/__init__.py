"""`sipreg bench`: load, floors and CPU time, measured in one run and put beside the budget."""
