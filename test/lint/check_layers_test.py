#!/usr/bin/env python3
"""Shows that check_layers.py finds what it is there to find."""
import pathlib
import tempfile
import unittest

import check_layers


class CheckLayersTest(unittest.TestCase):
    def setUp(self):
        self._directory = tempfile.TemporaryDirectory()
        self.addCleanup(self._directory.cleanup)
        self.root = pathlib.Path(self._directory.name)

    def problems(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return check_layers.check(self.root)[0]

    def test_domain_may_include_common(self):
        self.assertEqual(self.problems("sensor/domain/a.cc", '#include "common/hex.h"\n#include <vector>\n'), [])

    def test_sensor_domain_may_include_the_decision_headers(self):
        self.assertEqual(self.problems("sensor/domain/a.h", '#include "bulkhead/abi.h"\n'), [])

    def test_control_plane_may_not_include_the_decision_headers(self):
        self.assertEqual(len(self.problems("controlplane/domain/a.h", '#include "bulkhead/abi.h"\n')), 1)

    def test_adapter_may_not_include_another(self):
        self.assertEqual(len(self.problems("sensor/link/a.cc", '#include "sensor/kernel/kernel.h"\n')), 1)

    def test_sensor_may_not_include_the_control_plane(self):
        self.assertEqual(len(self.problems("sensor/app/a.cc", '#include "controlplane/domain/types.h"\n')), 1)

    def test_domain_may_not_use_grpc(self):
        self.assertEqual(len(self.problems("controlplane/domain/a.cc", "#include <grpcpp/grpcpp.h>\n")), 1)

    def test_only_the_store_uses_libpqxx(self):
        self.assertEqual(self.problems("controlplane/store/a.cc", "#include <pqxx/pqxx>\n"), [])
        self.assertEqual(len(self.problems("controlplane/api/a.cc", "#include <pqxx/pqxx>\n")), 1)

    def test_folder_without_a_layer_is_named(self):
        self.assertEqual(self.problems("sensor/main.cc", '#include "sensor/app/options.h"\n'), [])
        self.assertEqual(len(self.problems("sensor/misc/a.cc", "int x;\n")), 1)

    def test_long_file_is_named(self):
        problems = self.problems("common/a.cc", "int x;\n" * (check_layers.MAX_LINES + 1))
        self.assertEqual(len(problems), 1)
        self.assertIn("common/a.cc", problems[0])

    def test_build_directories_are_not_ours(self):
        self.assertEqual(self.problems("build/sensor/domain/a.cc", '#include "sensor/app/x.h"\n'), [])

    def test_empty_tree_counts_no_file(self):
        self.assertEqual(check_layers.check(self.root), ([], 0))


if __name__ == "__main__":
    unittest.main()
