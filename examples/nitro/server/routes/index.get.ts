export default defineEventHandler(() => "Nitro on Lateen");
