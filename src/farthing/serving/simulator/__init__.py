"""A discrete-event simulator of continuous batching: requests through replicas, each with a step model."""

from farthing.serving.simulator.disaggregated import simulate_disaggregated
from farthing.serving.simulator.requests import Requests
from farthing.serving.simulator.result import ReplicaUse, Run, Slo, Spread, Summary
from farthing.serving.simulator.routers import ROUTERS
from farthing.serving.simulator.simulate import simulate

__all__ = ["ROUTERS", "ReplicaUse", "Requests", "Run", "Slo", "Spread", "Summary", "simulate", "simulate_disaggregated"]
