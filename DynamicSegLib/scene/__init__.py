"""Exchange with Slicer's scene: volumes to a study, a segmentation to nodes, decisions to a table and a chart.

Only this package of the library imports `slicer` and `vtk`; it uses no Qt, so that scripts and headless runs share
every line with the panel. Scene coordinates are RAS millimetres, SimpleITK's are LPS: the change of sign happens in
`volumes` and nowhere else.
"""
