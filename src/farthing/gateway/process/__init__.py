"""The gateway as processes: the supervisor, the workers that it forks, a model of this machine beside them."""
