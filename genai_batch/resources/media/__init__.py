"""Pictures and sounds inside results, as bytes and files that ordinary programs open."""
