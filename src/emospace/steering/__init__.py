"""Steering: set a model's tone with vectors made of human concepts."""

from emospace.steering.context import Steering, steer
from emospace.steering.plan import SteeringPlan, plan_steering
from emospace.steering.vector import DoseRange, SteeringVector, mix

__all__ = ["DoseRange", "Steering", "SteeringPlan", "SteeringVector", "mix", "plan_steering", "steer"]
