"""Vocabulary of the grammar. `|` separates phrases."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """Phrases for a degradation: as an adjective (quality), as a noun (thing), and as its removal (remedy)."""

    quality: list[str]
    thing: list[str]
    remedy: list[str]


def _list(text: str) -> list[str]:
    return [" ".join(phrase.split()) for phrase in text.split("|")]


SAID = {
    "haze": Words(
        _list("foggy|hazy|misty|smoky|smoggy|murky|dusty|fogged|fogged in|veiled|hazed|smoke filled"),
        _list(
            "fog|haze|mist|smoke|smog|dust|fog patches|fog banks|ground fog|sea fog|morning mist|low visibility|"
            "poor visibility|bad visibility|reduced visibility|smoke cloud|sandstorm|haziness|milky veil"
        ),
        _list("dehaze|defog|clear the fog|see through the fog|see through smoke|dehazing|defogging|haze removal"),
    ),
    "low light": Words(
        _list(
            "dark|dim|underexposed|under exposed|poorly lit|badly lit|low light|lowlight|gloomy|unlit|dusky|shadowy|"
            "too dark|pitch black|pitch dark|dimly lit|barely lit|not well lit|under lit|nocturnal|black"
        ),
        _list(
            "night|darkness|nighttime|night time|dusk|twilight|midnight|low light|low illumination|weak light|"
            "poor lighting|insufficient light|lack of light|little light|bad light|underexposure|shadow|shadows|"
            "nightfall|night scene|night drive|after dark|at night|low lighting|dark scene|poor illumination|evening"
        ),
        _list("brighten|light up|lighten|brighten up|lift the darkness|relight|low light enhancement|make it brighter"),
    ),
    "over-exposure": Words(
        _list(
            "overexposed|over exposed|too bright|blown out|blinding|blinded|dazzling|dazzled|glaring|burnt out|"
            "burned out|overly bright|far too bright|overlit|over lit|saturated highlights|excessively bright"
        ),
        _list(
            "glare|overexposure|over exposure|dazzle|blown highlights|clipped highlights|strong backlight|backlight|"
            "low sun|too much light|excess light|excessive light|headlight glare|blinding headlights|"
            "oncoming headlights|sun in the lens|lens flare|bright lights|blinding sun|over exposed areas|glares"
        ),
        _list("tone down the highlights|recover the highlights|exposure correction|correct the exposure|darken"),
    ),
    "low contrast": Words(
        _list(
            "low contrast|lowcontrast|weak contrast|poor contrast|weak|faint|flat|washed out|pale|dull|bland|feeble|"
            "contrastless|low in contrast|lacking contrast|poorly contrasted|weakly contrasted|grayish"
        ),
        _list(
            "low contrast|weak contrast|poor contrast|little contrast|lack of contrast|lacks contrast|"
            "lacking contrast|lacks any contrast|faint contrast|no contrast|"
            "hardly any contrast|bad contrast|missing contrast|reduced contrast|flat contrast|insufficient contrast|"
            "weak signal|thermal crossover|low dynamic range"
        ),
        _list("enhance the contrast|increase contrast|boost contrast|stretch contrast|contrast enhancement"),
    ),
    "low resolution x4": Words(
        _list(
            "low resolution|low res|lowres|blurry|blurred|pixelated|coarse|unsharp|soft|fuzzy|small|grainy pixels|"
            "low in resolution|not sharp|out of focus|blocky|undersampled|downsampled|smeared"
        ),
        _list(
            "low resolution|poor resolution|few pixels|small sensor|x4|4x|quarter resolution|resolution x4|blur|"
            "blurriness|pixelation|four times lower resolution|low pixel count|coarse pixels|limited resolution"
        ),
        _list(
            "upscale|super resolve|sharpen|upsample|super resolution|super resolution x4|upscale x4|upscale 4x|"
            "upscale four times|upscale by 4|upscale by four|sr4|superresolution|sr x4|4x super resolution"
        ),
    ),
    "low resolution x8": Words(
        _list("very low resolution|extremely low resolution|very blurry|extremely blurry|tiny|very low res"),
        _list("x8|8x|eighth resolution|resolution x8|very few pixels|eight times lower resolution|tiny resolution"),
        _list(
            "upscale x8|upscale 8x|upscale eight times|upscale by 8|upscale by eight|super resolution x8|sr8|sr x8|"
            "8x super resolution|super resolve x8"
        ),
    ),
}
OTHER = Words(
    _list(
        "rainy|snowy|noisy|stripy|striped|shaky|frozen|upside down|compressed|greenish|bluish|flickering|grainy|"
        "not clear|unclear|bad|not good|poor quality|tilted"
    ),
    _list("rain|snow|noise|stripes|motion blur|compression|hail|raindrops|dirt on the lens|colour cast|artefacts"),
    _list("denoise|derain|remove noise|stabilise|deblock"),
)
"""Degradations without a task."""
CLEAN = _list(
    "clear|clean|fine|good|ok|okay|normal|perfect|undegraded|pristine|crisp|sharp|healthy|in order|alright|great|"
    "well exposed|flawless|of good quality|high quality|undisturbed|untouched|all right|excellent|intact"
)
CLEAN_SCENE = _list(
    "clear|sunny|clear day|sunny day|bright day|clear weather|good weather|nice weather|good visibility"
)
CLEAN_BOTH = _list(
    "clean|nothing wrong|no degradation|no degradations|no problem|all good|undegraded|both clean|nothing to remove|"
    "both cameras are fine|both images are clean|no defects|everything is fine|leave it as it is|just fuse|only fuse|"
    "vanilla fusion|plain fusion|nothing|none|good quality|both clear|keep as is|nothing is wrong"
)
VISIBLE = _list("visible|rgb|colour|color|vis|optical|visual|daylight|tv|visible light|vi")
INFRARED = _list("infrared|thermal|ir|lwir|heat|thermographic|far infrared|longwave|flir|thermal infrared")
THING = _list("camera|image|picture|frame|video|stream|view|channel|footage|sensor|input|side|modality|images|photo")
BE = _list("is|looks|seems|appears|is rather|is getting|comes out|is being|gives|looks a bit|was|is quite|are|shows")
HARD = _list(
    "very|slightly|a bit|somewhat|dense|heavy|thick|really|quite|strong|strongly|severe|mild|thin|rather|terribly|"
    "partly|partially|pretty|a little|extremely|badly|light|moderate|some|lots of|much|deep|kind of|totally|so|local"
)
BEFORE = _list(
    "the|a|this|there is|it is|there's|we have|with|in|on a|i see|you can see|scene with|street with|road in|there are|"
    "driving in|driving through|please|city in|the weather is|due to|it's|because of|an image with|handle|"
    "sees nothing because of|cannot see because of|spoilt by|affected by|today|"
    "conditions are|the scene is|expect|my|a picture with|highway in|taken in|now|images with|image has|suffers from"
)
AFTER = _list(
    "scene|weather|conditions|street|road|everywhere|outside|today|in the scene|in the image|image|on the road|city|"
    "in the city|drive|here|in the distance|on the left|near the road|forest|on the highway|in places|environment|"
    "tunnel|morning|in winter|on the right|in the background|at the moment|in autumn|traffic|day|harbour|valley|"
    "countryside|landscape|situation"
)
JOIN = _list("and|,|with|but|, and|plus|also|;|then|while|, but|as well as|and also|together with|whereas|moreover")
NO = _list("no|without|without any|free of|not any|never any|no more|zero|absence of|there is no|there's no|lacks any")
NOT = _list("not|is not|isn't|not very|not too|never|is no longer|not really|not at all|aren't|are not|wasn't|nor")
REMOVE = _list("remove|reduce|suppress|fix|get rid of|take away|correct|counter|handle|cut|repair|against|mitigate")
DONT = _list("don't|do not|never|please do not|no need to|without")
FILLER = _list(
    "the|a|an|of|in|on|at|to|for|i|we|you|my|our|was|were|be|been|has|have|had|do|does|can|could|will|would|should|"
    "which|that|this|these|those|here|there|just|also|please|make|let|like|kind|sort|most|more|mostly|during|when|"
    "where|while|around|about|from|into|near|it|its|they|both|all|any|other|one|two|some|such|as|by|up|down|out|than|"
    "what|who|if|so|got|get|really|bit|quite|car|driver|road|vehicle|robot|drone|through|and"
)
