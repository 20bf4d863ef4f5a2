"""Pedestrians and cyclists: articulated bodies that walk and pedal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import surfaces
from .mesh import UP, Mesh
from .textures import Array, Colour


@dataclass(frozen=True)
class Look:
    """Clothes and build. `thick` clothes let less body warmth through."""

    jacket: Colour = (60, 70, 110)
    trousers: Colour = (45, 48, 60)
    hair: Colour = (60, 42, 30)
    skin: Colour = (224, 172, 140)
    height: float = 1.75
    thick: bool = False
    backpack: Colour | None = None
    skirt: bool = False


@dataclass(frozen=True, eq=False)
class Stance:
    """Pose and speed of a body: ground point, unit heading in the ground plane, speed in m/s."""

    at: Array
    heading: Array
    speed: float

    @property
    def right(self) -> Array:
        """Unit vector to the body's right."""
        return np.asarray(np.cross(UP, self.heading)) * -1.0

    @property
    def facing(self) -> str:
        """The side of the body that faces the camera, which looks along z."""
        if abs(self.heading[2]) >= abs(self.heading[0]):
            return "back" if self.heading[2] > 0 else "front"
        return "right" if self.heading[0] > 0 else "left"


def pedestrian(mesh: Mesh, owner: int, look: Look, stance: Stance, phase: float) -> None:
    """Add a walking (or standing) person; `phase` is the gait angle in radians, one stride per turn."""
    scale = look.height / 1.75
    forward, right = stance.heading, stance.right
    swing = min(1.0, stance.speed / 1.1)
    thigh, shin = 0.45 * scale, 0.45 * scale
    legs = []
    for sign in (-1.0, 1.0):
        angle = phase + (0 if sign > 0 else np.pi)
        hip_angle = np.radians(27) * swing * np.sin(angle) + np.radians(3)
        bend = np.radians(8 + 46 * max(0.0, np.cos(angle)) ** 1.5 * swing)
        knee = thigh * (np.sin(hip_angle) * forward - np.cos(hip_angle) * UP)
        ankle = knee + shin * (np.sin(hip_angle - bend) * forward - np.cos(hip_angle - bend) * UP)
        legs.append((sign, angle, knee, ankle, hip_angle - bend))
    # Height of the pelvis with the longer leg stretched, so that one foot is always on the ground.
    reach = max(float(-(ankle @ UP)) for _, _, _, ankle, _ in legs)
    pelvis = stance.at + UP * (reach + 0.07 * scale)
    cloth, trouser = (17.5, 19.0) if look.thick else (22.5, 21.0)
    trousers, skin = surfaces.limb(look.trousers, trouser), surfaces.limb(look.skin, 28.0)
    shoe = surfaces.limb((38, 34, 32), 17.0)
    for sign, _, knee, ankle, tilt in legs:
        hip = pelvis + right * (0.09 * sign * scale)
        lower = skin if look.skirt else trousers
        mesh.limb(hip + UP * 0.03, hip + knee, (0.088 * scale, 0.062 * scale), trousers, owner)
        mesh.limb(hip + knee + UP * 0.05, hip + ankle, (0.062 * scale, 0.045 * scale), lower, owner)
        toe = hip + ankle + (np.cos(tilt) * forward + np.sin(tilt) * UP) * 0.17 * scale - UP * 0.03
        mesh.limb(hip + ankle - 0.04 * forward - UP * 0.02, toe, (0.05, 0.042), shoe, owner)
    _upper_body(mesh, owner, look, stance, pelvis, forward * 0.03, cloth)
    shoulder = pelvis + UP * 0.50 * scale
    for sign, angle, _, _, _ in legs:
        arm_angle = -np.radians(24) * swing * np.sin(angle) + np.radians(2)
        joint = shoulder + right * (0.205 * sign * scale)
        elbow = joint + 0.29 * scale * (np.sin(arm_angle) * forward - np.cos(arm_angle) * UP + 0.1 * sign * right)
        fold = arm_angle + np.radians(14 + 12 * swing)
        hand = elbow + 0.30 * scale * (np.sin(fold) * forward - np.cos(fold) * UP)
        _arm(mesh, owner, look, (joint, elbow, hand), cloth, scale)
    if look.skirt:
        hem = pelvis - UP * 0.42 * scale
        mesh.limb(pelvis + UP * 0.08, hem, (0.15 * scale, 0.22 * scale), trousers, owner)
    mesh.shadow(stance.at, np.array([0.0, 0.0, 0.5]), np.array([0.5, 0.0, 0.0]), 0.85)


def _upper_body(mesh: Mesh, owner: int, look: Look, stance: Stance, pelvis: Array, lean: Array, cloth: float) -> None:
    scale = look.height / 1.75
    wide = stance.facing in ("front", "back")
    half = (0.21 if wide else 0.135) * scale
    neck = pelvis + UP * 0.55 * scale + lean
    texture = surfaces.torso(look.jacket, cloth, stance.facing != "front")
    mesh.limb(neck, pelvis - UP * 0.09 * scale, (half, half * 0.9), texture, owner)
    if look.backpack is not None and stance.facing != "front":
        back, size = -stance.heading * 0.17 * scale, 0.16 if wide else 0.09
        pack = surfaces.limb(look.backpack, 13.0)
        mesh.limb(neck + back - UP * 0.04, pelvis + back + UP * 0.1, (size, size), pack, owner)
    mesh.limb(neck + UP * 0.1 * scale, neck - UP * 0.04, (0.055, 0.06), surfaces.limb(look.skin, 31.0), owner)
    facing = surfaces.head(look.skin, look.hair, stance.facing)
    crown = neck + UP * 0.335 * scale + stance.heading * 0.02
    mesh.limb(crown, crown - UP * 0.29 * scale, (0.115 * scale, 0.115 * scale), facing, owner)


def _arm(mesh: Mesh, owner: int, look: Look, joints: tuple[Array, Array, Array], cloth: float, scale: float) -> None:
    joint, elbow, hand = joints
    sleeve = surfaces.limb(look.jacket, cloth)
    lower = surfaces.limb(look.jacket, cloth, look.skin, 30.0)
    mesh.limb(joint + UP * 0.03, elbow, (0.06 * scale, 0.05 * scale), sleeve, owner)
    mesh.limb(elbow + UP * 0.03, hand, (0.05 * scale, 0.042 * scale), lower, owner)


def cyclist(mesh: Mesh, rider: int, bicycle: int, look: Look, stance: Stance, travelled: float, night: bool) -> None:
    """Add a bicycle and its rider; `travelled` metres turn wheels and pedals."""
    f, right, ground = stance.heading, stance.right, stance.at
    radius = 0.34
    tube = surfaces.limb((170, 40, 36), 9.5)
    axles = [ground + f * x + UP * radius for x in (0.52, -0.52)]
    for axle in axles:
        turn = -travelled / radius
        spin, rise = np.cos(turn) * f + np.sin(turn) * UP, -np.sin(turn) * f + np.cos(turn) * UP
        corners = [axle + radius * corner for corner in (rise - spin, rise + spin, spin - rise, -spin - rise)]
        mesh.quad(corners, surfaces.wheel(11.0, True), bicycle)
        # From behind, a flat wheel is invisible; draw the width of the tyre.
        mesh.limb(axle + UP * radius, axle - UP * radius, (0.024, 0.024), surfaces.limb((34, 34, 36), 12.0), bicycle)
    crank = ground + UP * 0.29 + f * 0.02
    seat, bar = ground - f * 0.17 + UP * 0.92, ground + f * 0.42 + UP * 1.02
    below_seat, below_bar = seat - UP * 0.15, bar - UP * 0.15
    frame = [(crank, seat), (crank, bar - UP * 0.2), (below_seat, below_bar)]
    for a, b in (*frame, (axles[1], crank), (axles[1], below_seat), (axles[0], bar)):
        mesh.limb(a, b, (0.022, 0.022), tube, bicycle)
    mesh.limb(bar - right * 0.28, bar + right * 0.28, (0.02, 0.02), surfaces.limb((40, 40, 42), 10.0), bicycle)
    mesh.limb(seat - f * 0.13, seat + f * 0.13, (0.05, 0.03), surfaces.limb((30, 30, 30), 18.0), bicycle)
    lamp = seat - f * 0.22 - UP * 0.12 if stance.heading[2] > 0 else bar + f * 0.1 - UP * 0.08
    colour: Colour = (255, 40, 30) if stance.heading[2] > 0 else (255, 244, 220)
    glass = surfaces.plain(colour, 14.0, 14.0 if night else 1.0)
    mesh.limb(lamp + UP * 0.035, lamp - UP * 0.035, (0.035, 0.035), glass, bicycle)

    hip = seat + UP * 0.06
    angle = travelled / 5.2 * 2 * np.pi
    trousers, shoe = surfaces.limb(look.trousers, 22.5), surfaces.limb((40, 36, 34), 17.0)
    for sign in (-1.0, 1.0):
        turn = angle + (0 if sign > 0 else np.pi)
        pedal = crank + right * 0.09 * sign + 0.165 * (np.cos(turn) * f - np.sin(turn) * UP)
        joint = hip + right * 0.08 * sign
        knee = _knee(joint, pedal + UP * 0.05, 0.43, 0.45, f)
        mesh.limb(joint, knee, (0.088, 0.06), trousers, rider)
        mesh.limb(knee + UP * 0.02, pedal + UP * 0.05, (0.06, 0.042), trousers, rider)
        mesh.limb(pedal - f * 0.06 + UP * 0.03, pedal + f * 0.14 + UP * 0.02, (0.045, 0.04), shoe, rider)
    cloth = 18.0 if look.thick else 23.0
    shoulder = hip + UP * 0.47 + f * 0.22
    _upper_body(mesh, rider, look, stance, hip, f * 0.24 - UP * 0.06, cloth)
    for sign in (-1.0, 1.0):
        joint, hand = shoulder + right * 0.19 * sign, bar + right * 0.24 * sign
        elbow = (joint + hand) / 2 + right * 0.06 * sign - UP * 0.05
        _arm(mesh, rider, look, (joint, elbow, hand), cloth, 1.0)
    mesh.shadow(ground, f, np.array([f[2], 0.0, -f[0]]) * 0.42, 0.8)


def _knee(hip: Array, foot: Array, thigh: float, shin: float, forward: Array) -> Array:
    """Joint of a two-bone leg that bends forward."""
    span = foot - hip
    length = min(float(np.linalg.norm(span)), thigh + shin - 1e-3)
    along = span / np.linalg.norm(span)
    reach = (thigh**2 - shin**2 + length**2) / (2 * length)
    out = forward - (forward @ along) * along
    out /= np.linalg.norm(out)
    return np.asarray(hip + along * reach + out * np.sqrt(max(thigh**2 - reach**2, 0.0)))
