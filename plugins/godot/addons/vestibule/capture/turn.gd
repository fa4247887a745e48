extends RefCounted
## From a basis of the engine to the quaternion of a record, by arithmetic that anyone can repeat to the last bit.
##
## GDScript computes in 64-bit floats, one operation at a time, on every platform, so what stands here has one result.
## The engine's own conversion is compiled: its bits depend on the processor, and it complains about a basis that is
## no rotation. The rule, with m(row)(column), t = m00 + m11 + m22 and all in double:
##
## - t > 0: s = sqrt(t + 1), h = 0.5 / s; w = 0.5 s, x = (m21 - m12) h, y = (m02 - m20) h, z = (m10 - m01) h
## - else with i the first of the largest of m00, m11, m22, and j, k the two after it in the circle 0 1 2:
##   s = sqrt(((mii - mjj) - mkk) + 1), h = 0.5 / s; q[i] = 0.5 s, w = (mkj - mjk) h, q[j] = (mji + mij) h,
##   q[k] = (mki + mik) h
##
## Signs are left as they come: q and -q are the same rotation. Each component is rounded to 32 bits once.

## How far the squared length may be from 1: above it the basis was no rotation, and the orientation is not valid.
const UNIT_WITHIN := 1e-3


## The rotation of a basis. A basis that is no rotation gives a quaternion that is not of unit length, or NaN.
static func of(basis: Basis) -> Quaternion:
	return of_columns(basis.x, basis.y, basis.z)


## The same of three columns. Those of a joint of Godot's humanoid hand become OpenXR's as (-x, -z, -y): Godot turns
## each joint by half a turn about (0, -1, 1), which is its own inverse.
static func of_columns(a: Vector3, b: Vector3, c: Vector3) -> Quaternion:
	var m00 := a.x
	var m11 := b.y
	var m22 := c.z
	var t := m00 + m11 + m22
	var s: float
	var h: float
	if t > 0.0:
		s = sqrt(t + 1.0)
		h = 0.5 / s
		return Quaternion((b.z - c.y) * h, (c.x - a.z) * h, (a.y - b.x) * h, 0.5 * s)
	if m00 >= m11 and m00 >= m22:
		s = sqrt(m00 - m11 - m22 + 1.0)
		h = 0.5 / s
		return Quaternion(0.5 * s, (a.y + b.x) * h, (a.z + c.x) * h, (b.z - c.y) * h)
	if m11 >= m22:
		s = sqrt(m11 - m22 - m00 + 1.0)
		h = 0.5 / s
		return Quaternion((a.y + b.x) * h, 0.5 * s, (b.z + c.y) * h, (c.x - a.z) * h)
	s = sqrt(m22 - m00 - m11 + 1.0)
	h = 0.5 / s
	return Quaternion((a.z + c.x) * h, (b.z + c.y) * h, 0.5 * s, (a.y - b.x) * h)


## Whether a quaternion is one that a record may call valid.
static func is_unit(q: Quaternion) -> bool:
	return absf(q.length_squared() - 1.0) < UNIT_WITHIN
