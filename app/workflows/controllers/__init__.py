"""Screens of workflows: the list, the builder with its sheets, publication and versions."""

from app.workflows.controllers.builder import BuilderController
from app.workflows.controllers.publication import PublicationController
from app.workflows.controllers.steps import StepController
from app.workflows.controllers.triggers import TriggerController
from app.workflows.controllers.workflows import WorkflowController

ROUTES = [WorkflowController, BuilderController, StepController, TriggerController, PublicationController]

__all__ = ["ROUTES"]
