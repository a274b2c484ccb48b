#!/usr/bin/env python3
"""Checks who includes whom, and that no source file has grown too long.

The rules are docs/architecture.md's layers: domain includes only common (and bpf/include in the sensor), an adapter adds its
own folder and one library, only app sees all; sensor and control plane share only protos and common.
"""
import os
import pathlib
import re
import sys

MAX_LINES = 600
NOT_OURS = {"build", ".git", "node_modules"}
SOURCE_SUFFIXES = {".cc", ".h", ".c", ".py", ".sh", ".ts", ".cmake"}
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', re.M)

# Headers of libraries that only some layers may see.
GRPC = re.compile(r"grpc(pp|\+\+)?/|bulkhead/v1/.*\.grpc\.pb\.h|.*\.grpc\.pb\.h")
PROTOBUF = re.compile(r"google/protobuf/|.*(?<!grpc)\.pb\.h")
PQXX = re.compile(r"pqxx/|libpq")
OPENSSL = re.compile(r"openssl/")
LIBBPF = re.compile(r"bpf/(bpf|libbpf|btf)\.h|.*\.skel\.h|linux/bpf\.h")
MNL = re.compile(r"libmnl/")
YAML = re.compile(r"yaml-cpp/")
CLI11 = re.compile(r"CLI/")
PROMETHEUS = re.compile(r"prometheus/|CivetServer\.h|civetweb\.h")
LIBRARIES = {"grpc": GRPC, "protobuf": PROTOBUF, "libpqxx": PQXX, "openssl": OPENSSL, "libbpf": LIBBPF, "libmnl": MNL,
             "yaml-cpp": YAML, "CLI11": CLI11, "prometheus": PROMETHEUS}

# Layer: (our folders that it may include, the libraries of the table above that it may include).
LAYERS = {
    "common": (["common"], ["openssl"]),
    "bpf/include": (["bpf"], []),
    "sensor/domain": (["sensor/domain", "common", "bpf/include"], []),
    "sensor/kernel": (["sensor/kernel", "sensor/domain", "common", "bpf/include"], ["libbpf", "libmnl"]),
    "sensor/link": (["sensor/link", "sensor/domain", "common", "protos"], ["grpc", "protobuf", "openssl"]),
    "sensor/store": (["sensor/store", "sensor/domain", "common", "protos"], ["protobuf", "openssl"]),
    "sensor/app": (["sensor", "common", "protos"], ["grpc", "protobuf", "openssl", "yaml-cpp", "CLI11"]),
    "controlplane/domain": (["controlplane/domain", "common"], []),
    "controlplane/store": (["controlplane/store", "controlplane/domain", "common"], ["libpqxx"]),
    "controlplane/pki": (["controlplane/pki", "controlplane/domain", "common"], ["openssl"]),
    "controlplane/orders": (["controlplane/orders", "controlplane/store/store.h", "controlplane/pki/pki.h", "controlplane/domain",
                             "common"], []),
    # What the two gRPC adapters, api and link, share.
    "controlplane/rpc": (["controlplane/rpc", "controlplane/store/store.h", "controlplane/pki/pki.h", "controlplane/domain", "common",
                          "protos"], ["grpc", "protobuf"]),
    "controlplane/api": (["controlplane/api", "controlplane/rpc", "controlplane/orders", "controlplane/store/store.h", "controlplane/pki/pki.h",
                          "controlplane/domain", "common", "protos"], ["grpc", "protobuf"]),
    "controlplane/link": (["controlplane/link", "controlplane/rpc", "controlplane/orders", "controlplane/store/store.h", "controlplane/pki/pki.h",
                           "controlplane/domain", "common", "protos"], ["grpc", "protobuf"]),
    "controlplane/metrics": (["controlplane/metrics", "controlplane/store/store_observer.h", "controlplane/rpc/call_observer.h",
                              "controlplane/link/link_observer.h", "controlplane/domain", "common"], ["prometheus"]),
    "controlplane/cli": (["controlplane/cli", "controlplane/domain/audit_chain.h", "common", "protos"], ["grpc", "protobuf", "yaml-cpp", "CLI11"]),
    "controlplane/app": (["controlplane", "common", "protos"], ["grpc", "protobuf", "openssl", "libpqxx", "yaml-cpp", "CLI11", "prometheus"]),
    "test/e2e": (["test/e2e", "test/harness", "common", "protos"], ["grpc", "protobuf", "openssl"]),
}
OURS = ("common/", "bpf/", "sensor/", "controlplane/", "test/")


def layer_of(path):
    """The longest layer folder that holds `path`, or None."""
    return max((name for name in LAYERS if path.startswith(name + "/")), key=len, default=None)


def problem_with_include(layer, header):
    """Why a file of `layer` may not include `header`, or None."""
    folders, libraries = LAYERS[layer]
    for name, pattern in LIBRARIES.items():
        if pattern.match(header):
            return None if name in libraries else f"{layer} may not use {name}"
    if header.startswith("bulkhead/"):
        header = "bpf/include/" + header
    if header.startswith(OURS) and not any(header == f or header.startswith(f + "/") for f in folders):
        return f"{layer} may only include {', '.join(folders)}"
    return None


def source_files(root):
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(set(subfolders) - NOT_OURS)
        for name in sorted(names):
            if pathlib.Path(name).suffix in SOURCE_SUFFIXES:
                yield pathlib.Path(folder, name)


def check(root):
    problems, layered = [], 0
    for file in source_files(root):
        path = file.relative_to(root).as_posix()
        text = file.read_text(encoding="utf-8")
        if text.count("\n") > MAX_LINES:
            problems.append(f"{path}: {text.count(chr(10))} lines; split it, at most {MAX_LINES} are allowed")
        if file.suffix not in (".cc", ".h"):
            continue
        layer = layer_of(path)
        if layer is None:
            if path.startswith(("sensor/", "controlplane/")) and file.name != "main.cc":
                problems.append(f"{path}: belongs to no layer; give its folder a line in {pathlib.Path(__file__).name}")
            continue
        layered += 1
        for header in INCLUDE.findall(text):
            problem = problem_with_include(layer, header)
            if problem:
                problems.append(f"{path}: includes {header}, but {problem}")
    return problems, layered


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    problems, layered = check(root)
    print("\n".join(problems))
    print(f"{layered} files of {len(LAYERS)} layers checked, {len(problems)} problems")
    if layered == 0:
        print(f"no source file of any layer below {root}: this check saw nothing")
    return 1 if problems or layered == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
