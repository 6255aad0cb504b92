"""Networks made to find objects. Counts by hand, from figure 3 of arXiv:1506.02640 and, for Fast YOLO, from the
authors' configuration (github.com/pjreddie/darknet, cfg/yolo-tiny.cfg of 2015), both without batch normalisation.

A convolution of f×f windows from c to d channels has f²cd + d parameters and takes f²cd multiply-adds a pixel.

- yolo_v1, stage by stage: 9,472 + 110,784 + 1,565,824 + 10,228,224 + 10,488,832, and the linear layer 1,025,000. The
  maps have 224, 112, 56, 28 and 14 pixels a side: 224²·9,408 + 112²·110,592 + 56²·1,564,672 + 28²·10,223,616 +
  14²·10,485,760 multiply-adds at 448, a quarter of them at 224, and 1,024,000.
- fast_yolo: 448 + 4,640 + 18,496 + 73,856 + 295,168 + 1,180,160 + 4,719,616, and 1,025,000. Multiply-adds: 448²·432 in
  the first convolution, 231,211,008 in each of the others (224²·4,608 = … = 7²·4,718,592), and 1,024,000.
"""

from tests.contract.facts.base import Counts, Facts

FACTS = {
    # 1 ← pool 2/2: 2 ← 2/2: 4 ← 7/2 padded by 3: 3·2 + 1 = 7
    "yolo_v1": Facts(least=(7, 7), ceil=False),
}

COUNTS = {
    "yolo_v1": Counts((3, 448, 448), 1000, 23_428_136, 16_837_681_152, 0),
    "yolo_v1_224": Counts((3, 224, 224), 1000, 23_428_136, 4_210_188_288, 0),
    "fast_yolo": Counts((3, 448, 448), 1000, 7_317_384, 1_474_994_176, 0),
}
