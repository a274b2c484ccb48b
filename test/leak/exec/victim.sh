#!/bin/sh
echo RAN >&9
