"""Reading and writing through slicer.util."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


def test_a_volume_comes_back_from_its_file(host, tmp_path):
    import slicer

    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = slicer.util.addVolumeFromArray(values, name="scan")
    assert slicer.util.saveNode(volume, str(tmp_path / "scan.nrrd"))
    heard = []
    slicer.app.ioManager().connect("newFileLoaded(qSlicerIO::IOProperties)", heard.append)
    again = slicer.util.loadVolume(str(tmp_path / "scan.nrrd"), {"name": "again", "show": False})
    assert again.GetName() == "again"
    assert np.array_equal(slicer.util.arrayFromVolume(again), values)
    assert heard[0]["nodeIDs"] == [again.GetID()]


def test_a_loaded_volume_is_shown_in_the_slice_views(host, tmp_path):
    import slicer

    volume = slicer.util.addVolumeFromArray(np.ones((2, 3, 4), np.int16), name="scan")
    slicer.util.saveNode(volume, str(tmp_path / "scan.nrrd"))
    again = slicer.util.loadVolume(str(tmp_path / "scan.nrrd"))
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == again.GetID()


def test_a_segmentation_comes_back_from_its_file(host, tmp_path):
    import slicer

    volume = slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.int16))
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = segmentation.GetSegmentation().AddEmptySegment("tumour")
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(labels, segmentation, segment, volume)
    slicer.util.saveNode(segmentation, str(tmp_path / "labels.seg.nrrd"))
    again = slicer.util.loadSegmentation(str(tmp_path / "labels.seg.nrrd"))
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(again, "tumour", volume), labels)


def test_a_missing_file_is_an_error(host, tmp_path):
    import slicer

    with pytest.raises(RuntimeError, match="Failed to load node from file"):
        slicer.util.loadVolume(str(tmp_path / "absent.nrrd"))


def test_a_kind_of_file_that_the_host_does_not_read_says_so(host, tmp_path):
    import slicer

    path = tmp_path / "points.mrk.json"
    path.write_text("{}")
    with pytest.raises(NotImplementedError, match="does not read MarkupsFile"):
        slicer.util.loadMarkups(str(path))


def test_temporary_folders_and_settings_stay_inside_the_hosts_own_folder(host):
    import qt
    import slicer

    assert Path(slicer.util.tempDirectory()).is_relative_to(slicer.app.temporaryPath)
    assert Path(qt.QSettings().fileName()).is_relative_to(slicer.app.temporaryPath)


def test_data_nodes_have_an_item_in_the_subject_hierarchy_as_long_as_they_live(host):
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    hidden = slicer.vtkMRMLScalarVolumeNode()
    hidden.SetHideFromEditors(True)
    slicer.mrmlScene.AddNode(hidden)
    item = hierarchy.GetItemByDataNode(volume)
    assert item and hierarchy.GetItemName(item) == "scan"
    assert not hierarchy.GetItemByDataNode(hidden)
    slicer.mrmlScene.RemoveNode(volume)
    assert hierarchy.GetItemDataNode(item) is None


def test_the_subject_hierarchy_comes_back_with_the_scene(host, tmp_path):
    import slicer

    def hierarchy():
        return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)

    study = hierarchy().CreateFolderItem(hierarchy().GetSceneItemID(), "study")
    volume = slicer.util.addVolumeFromArray(np.ones((2, 3, 4), np.int16), name="scan")
    hierarchy().SetItemParent(hierarchy().GetItemByDataNode(volume), study)
    assert slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    host.close_scene()
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    item = hierarchy().GetItemByDataNode(slicer.util.getNode("scan"))
    assert hierarchy().GetItemName(hierarchy().GetItemParent(item)) == "study"
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSubjectHierarchyNode") == 1
