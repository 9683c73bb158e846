"""The builder: the draft that members edit, its lint, its versions, and the plan of what publishing does."""
