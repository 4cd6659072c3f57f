"""A backbone that costs nothing: an ONNX file whose features are the means of small squares."""

from pathlib import Path

from onnx import TensorProto, helper

SIDE, DIMENSION = 16, 192


def write_backbone(path: Path) -> str:
    """Write the file, and return the name of its backbone."""
    taken = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    given = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", DIMENSION])
    nodes = [
        helper.make_node("AveragePool", ["images"], ["means"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["means"], ["features"]),
    ]
    graph = helper.make_graph(nodes, "means", [taken], [given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return f"onnx:{path}"
