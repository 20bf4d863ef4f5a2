"""The numbers in the formulas of `realtime`, without torch: its loops for a CPU take them from here, too."""

LUMA = (0.299, 0.587, 0.114)
"""BT.601 weights of R, G, B."""
AIR_GRAYNESS = 0.85
"""How far the first airlight is drawn to gray: fog is nearly gray, but by night its brightest pixels are a lamp's."""
AIR_TINT = 0.02
"""How far a channel of a `bounded` first airlight may be from its mean: all of fog's tint, little of a lamp's."""
DARK_TILE, DARK_PART = 8, 0.2
"""The tiles, in steps of the grid, whose light bounds the airlight, and the part of them that decides."""
NOISE = 0.0015
"""Mean absolute noise of the reduced frame: what dehazing amplifies, before the network corrects it."""
T_LEAST = 0.04
"""Least transmission that is still divided by."""
FLOOR = 0.15
"""Mean level of infrared that is left as it is."""
DARK_NOISE = 0.012
"""Mean absolute noise in darkness, which the lift amplifies: sensors turn their gain up there."""
MORE_DETAIL = 0.3
"""By how much a strong lift raises the detail that is believed; the lift's shoulder takes contrast from it."""
LESS_LIFT = 0.4
"""Of the automatic lift, where haze was dense."""
WORKING = 640 * 480
"""Pixels of the frame that is worked on, about: larger ones are reduced to it."""
HUE = 0.8
"""The hue where none is asked for."""
AMBER = 0.6, -0.12, -0.96
"""What full warmth adds to red, green and blue: none of luma."""
WARM, SHOWN, LEAST, MOST = 4.0, 1.5, 0.12, 0.7
"""Of the hue: for what stands out in infrared; less for what of it luma shows; what is too little; at most."""
DECIDES, DOUBT = 30.0, 0.06
"""Of the choice between the brighter of both and the visible luma: how sharp, and by how much the first is favoured."""
COLOUR_NOISE = 0.03, 0.12
"""Colour, as the largest difference from luma, that is taken for noise and for colour."""
HEAD_GAIN = 0.2
"""By which the gain of noise is scaled for the head."""
SHARE = 0.5
"""Infrared's part of a detector's frame."""
WARMER = 0.3
"""Part of what infrared is above its surroundings that a detector's frame gets on top of it."""
TINT = 0.1, -0.05, 0.0
"""Part of the difference of infrared and visible that a detector's frame gets in red, green and blue: none of luma."""
HAZE = 0.04, 0.12
"""Mean haze density under which automatic dehazing does nothing, and above which it does all."""
LIGHT = 0.14, 0.38
"""Mean illumination under which the automatic lift does all, and above which it does nothing."""
TINTS = 0.2
"""By which the learned tints of the airlight are scaled, beside its level."""
AIR_EPS, LIGHT_EPS = 1e-3, 4e-3
"""Of the guided filters of transmission and of illumination."""
DARK = 1e-2
"""Luma under which colour is no longer compared with it."""
ENERGY = 3e-3
"""Least deviation of luma from its surroundings that noise is compared with."""
