"""Constants of `realtime` and `tiny`. Without torch, since the kernels of `backends.kernels` use them too."""

LUMA = (0.299, 0.587, 0.114)
"""BT.601 weights of R, G, B."""
AIR_GRAYNESS = 0.85
"""How far the prior's airlight is drawn towards gray, 0 to 1: fog is nearly gray, but at night its brightest pixels are
those of a lamp."""
AIR_TINT = 0.02
"""Most difference of a channel from the mean of a `bounded` airlight: keeps the tint of fog, not that of a lamp."""
DARK_TILE, DARK_PART = 8, 0.2
"""Side of the tiles, in grid pixels, whose luma bounds the airlight; fraction of AIRLIGHT_GRID that decides."""
NOISE = 0.0015
"""Mean absolute noise of the reduced frame, which dehazing amplifies; the network corrects it."""
T_LEAST = 0.04
"""Lower bound t0 of transmission in dehazing."""
FLOOR = 0.15
"""Mean infrared level up to which nothing is subtracted, see `realtime_rules.floor_of`."""
SPAN = 0.5
"""Least range of infrared above its floor that is stretched to [0, 1]: a nearly white frame would become white."""
DARK_NOISE = 0.012
"""Mean absolute noise of dark frames, which the lift amplifies: in the dark, sensors raise their gain."""
MORE_DETAIL = 0.3
"""How much a strong lift raises the weight of detail, to make up for the contrast lost in the lift's shoulder."""
LESS_LIFT = 0.4
"""How much dense haze reduces the automatic lift."""
WORKING = 640 * 480
"""Working size, in pixels: larger frames are reduced to about this."""
HUE = 0.8
"""Default strength of the amber hue."""
AMBER = 0.6, -0.12, -0.96
"""Added to R, G, B at full warmth; its luma is about 0."""
WARM, SHOWN, LEAST, MOST = 4.0, 1.5, 0.12, 0.7
"""Coefficients of `realtime_rules.warmth`: α, β, l and the upper bound."""
DECIDES, DOUBT = 30.0, 0.06
"""Slope and bias of the choice between the brighter of both cameras and the visible luma, see
`realtime_rules.stand_out`."""
COLOUR_NOISE = 0.03, 0.12
"""Chroma, max|RGB - Y|, up to which it counts as noise, and from which on as colour."""
GAIN_FLOOR = 0.2
"""Level of infrared's floor from which on the head's correction is limited in full, see `realtime_rules.limited`."""
HEAD_GAIN = 0.2
"""Scale of the noise gain in the head's input."""
SHARE = 0.5
"""Share of infrared in a detector's frame."""
WARMER = 0.3
"""Share of infrared's local contrast that is added to a detector's frame."""
TINT = 0.1, -0.05, 0.0
"""Share of the difference of infrared and visible luma that is added to R, G, B of a detector's frame; luma about 0."""
HAZE = 0.04, 0.12
"""Mean haze density below which automatic dehazing has strength 0, and above which 1."""
LIGHT = 0.14, 0.38
"""Mean illumination below which the automatic lift has strength 1, and above which 0."""
TINTS = 0.2
"""Scale of the learned tints of the airlight, relative to its level."""
AIR_EPS, LIGHT_EPS = 1e-3, 4e-3
"""ε of the guided filters of transmission and of illumination."""
DARK = 1e-2
"""Lower bound of luma when chroma is compared with it."""
ENERGY = 3e-3
"""Added to the local deviation of luma when noise is compared with it."""
