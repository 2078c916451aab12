// Administrators: tokens for new devices, new secrets, and devices that are shut out.

import { post, remove, segment } from "./api.js";
import { confirmDialog, formDialog, tell } from "./dialogs.js";
import { el, field } from "./dom.js";
import { t } from "./i18n.js";

/** Ask how many, make them, show them once. */
export async function enrolDevices(site) {
  const count = el("input", { type: "number", min: 1, max: 100, value: 1, required: true });
  const hours = el("input", { type: "number", min: 1, max: 720, value: 24, required: true });
  const made = await formDialog({
    title: t("enrol.title"),
    content: [el("p", { text: t("enrol.hint", { site }) }),
      field(t("enrol.count"), count), field(t("enrol.hours"), hours)],
    action: t("enrol.make"),
    submit: () => post(`/v1/sites/${segment(site)}/enroll-tokens`, {
      count: count.valueAsNumber, ttl_s: Math.round(hours.valueAsNumber * 3600),
    }),
  });
  if (made) await tell({ title: t("enrol.made"), text: t("enrol.once"), lines: made.tokens });
}

/** Have the device fetch a new secret. */
export function rotateSecret(site, device) {
  return confirmDialog({
    title: t("rotate.title", { device }), text: t("rotate.text"), action: t("rotate.do"),
    danger: false,
    submit: () => post(`/v1/sites/${segment(site)}/devices/${segment(device)}/rotate`),
  });
}

/** Shut the device out for good. */
export function revokeDevice(site, device) {
  return confirmDialog({
    title: t("revoke.title", { device }), text: t("revoke.text"), action: t("revoke.do"),
    submit: () => remove(`/v1/sites/${segment(site)}/devices/${segment(device)}`),
  });
}
